<?php
// Makes a video and downloads it by PHP's curl or by its streams, which the first argument names.
const API = "https://api.aimlapi.com/v2/generate/video/kling/generation";
const HEADERS = ["Authorization: Bearer a-key-for-tests", "Content-Type: application/json"];
const BODY = [
    "model" => "kling-video/v1/pro/image-to-video",
    "image_url" => "https://example.com/cat.png",
    "prompt" => "The cat wakes up.",
];

function by_curl(string $method, string $url, ?string $body): string
{
    $curl = curl_init($url);
    $options = [CURLOPT_CUSTOMREQUEST => $method, CURLOPT_HTTPHEADER => HEADERS, CURLOPT_RETURNTRANSFER => true];
    curl_setopt_array($curl, $options + ($body === null ? [] : [CURLOPT_POSTFIELDS => $body]));
    $answer = curl_exec($curl);
    if ($answer === false) {
        fwrite(STDERR, curl_error($curl) . "\n");
        exit(1);
    }
    return $answer;
}

function by_streams(string $method, string $url, ?string $body): string
{
    $http = ["method" => $method, "header" => HEADERS, "content" => $body ?? ""];
    $answer = file_get_contents($url, false, stream_context_create(["http" => $http]));
    if ($answer === false) {
        exit(1);
    }
    return $answer;
}

$send = "by_$argv[1]";
$made = json_decode($send("POST", API, json_encode(BODY)), true);
while (!in_array($made["status"], ["completed", "error"])) {
    sleep((int) (getenv("WAIT") ?: 10));
    $made = json_decode($send("GET", API . "?generation_id=" . rawurlencode($made["id"]), null), true);
}
echo $made["status"], " ", strlen($send("GET", $made["video"]["url"], null)), "\n";
