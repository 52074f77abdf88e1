# Makes a video and downloads it by curl or wget, which the first argument names.
set -eu
api=https://api.aimlapi.com/v2/generate/video/kling/generation
key="Authorization: Bearer a-key-for-tests"
body='{"model": "kling-video/v1/pro/image-to-video", "image_url": "https://example.com/cat.png", "prompt": "The cat wakes up."}'
json="Content-Type: application/json"

case $1 in
curl)
  create() { curl -fsS -H "$key" -H "$json" -d "$body" "$api"; }
  get() { curl -fsS -H "$key" "$1"; }
  ;;
wget)
  create() { wget -qO- --tries=1 --header "$key" --header "$json" --post-data "$body" "$api"; }
  get() { wget -qO- --tries=1 --header "$key" "$1"; }
  ;;
esac
field() { tr , '\n' | sed -n "s/.*\"$1\": *\"\([^\"]*\)\".*/\1/p"; }

made=$(create)
id=$(echo "$made" | field id)
until status=$(echo "$made" | field status) && { [ "$status" = completed ] || [ "$status" = error ]; }; do
  sleep "${WAIT:-10}"
  made=$(get "$api?generation_id=$id")
done
echo "$status $(get "$(echo "$made" | field url)" | wc -c)"
