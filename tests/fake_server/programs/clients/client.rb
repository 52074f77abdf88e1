# Makes a video and downloads it by Net::HTTP; with the argument "direct", without the proxy of the environment.
require "json"
require "net/http"

API = URI("https://api.aimlapi.com/v2/generate/video/kling/generation")
HEADERS = { "Authorization" => "Bearer a-key-for-tests", "Content-Type" => "application/json" }
BODY = {
  "model" => "kling-video/v1/pro/image-to-video",
  "image_url" => "https://example.com/cat.png",
  "prompt" => "The cat wakes up.",
}

def send_request(method, uri, body = nil)
  proxy = ARGV[0] == "direct" ? nil : :ENV
  Net::HTTP.start(uri.host, uri.port, proxy, use_ssl: true) do |http|
    http.send_request(method, uri.request_uri, body, HEADERS).body
  end
end

made = JSON.parse(send_request("POST", API, BODY.to_json))
until ["completed", "error"].include?(made["status"])
  sleep Float(ENV.fetch("WAIT", "10"))
  uri = API.dup
  uri.query = URI.encode_www_form("generation_id" => made["id"])
  made = JSON.parse(send_request("GET", uri))
end
puts "#{made["status"]} #{send_request("GET", URI(made["video"]["url"])).bytesize}"
