# Makes a video and downloads it by LWP, with the proxy of the environment or, with the argument "direct", without.
use strict;
use warnings;
use HTTP::Request;
use JSON::PP;
use LWP::UserAgent;

my $api = "https://api.aimlapi.com/v2/generate/video/kling/generation";
my $body = encode_json({
    model => "kling-video/v1/pro/image-to-video",
    image_url => "https://example.com/cat.png",
    prompt => "The cat wakes up.",
});
my $agent = LWP::UserAgent->new(env_proxy => ($ARGV[0] // "") ne "direct");

sub request {
    my ($method, $url, $content) = @_;
    my $fields = [Authorization => "Bearer a-key-for-tests", "Content-Type" => "application/json"];
    my $answer = $agent->request(HTTP::Request->new($method, $url, $fields, $content));
    die $answer->status_line . "\n" unless $answer->is_success;
    return $answer->content;
}

my $made = decode_json(request("POST", $api, $body));
until ($made->{status} =~ /^(completed|error)$/) {
    sleep($ENV{WAIT} // 10);
    $made = decode_json(request("GET", "$api?generation_id=$made->{id}"));
}
print "$made->{status} ", length(request("GET", $made->{video}{url})), "\n";
