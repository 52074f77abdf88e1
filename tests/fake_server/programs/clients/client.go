// Makes a video and downloads it by net/http: by the default transport or, with the argument "direct", by one of its own.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"
)

const (
	api  = "https://api.aimlapi.com/v2/generate/video/kling/generation"
	body = `{"model": "kling-video/v1/pro/image-to-video", "image_url": "https://example.com/cat.png", "prompt": "The cat wakes up."}`
)

var client = &http.Client{Timeout: time.Minute}

func send(method, url string, body []byte) []byte {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer a-key-for-tests")
	request.Header.Set("Content-Type", "application/json")
	answer, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		panic(err)
	}
	return content
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "direct" {
		client.Transport = &http.Transport{}
	}
	wait, err := time.ParseDuration(os.Getenv("WAIT") + "s")
	if err != nil {
		wait = 10 * time.Second
	}
	var made struct {
		ID, Status string
		Video      struct{ URL string }
	}
	answer := send("POST", api, []byte(body))
	for {
		if err := json.Unmarshal(answer, &made); err != nil {
			panic(err)
		}
		if made.Status == "completed" || made.Status == "error" {
			break
		}
		time.Sleep(wait)
		answer = send("GET", api+"?generation_id="+url.QueryEscape(made.ID), nil)
	}
	fmt.Println(made.Status, len(send("GET", made.Video.URL, nil)))
}
