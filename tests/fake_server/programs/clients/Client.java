import java.io.InputStream;
import java.net.HttpURLConnection;
import java.net.URI;
import java.net.URL;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Makes a video and downloads it, by the client of the JDK that the first argument names. */
public class Client {
    static final String API = "https://api.aimlapi.com/v2/generate/video/kling/generation";
    static final String BODY = "{\"model\": \"kling-video/v1/pro/image-to-video\", "
            + "\"image_url\": \"https://example.com/cat.png\", \"prompt\": \"The cat wakes up.\"}";
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static byte[] byUrlConnection(String method, String url, String body) throws Exception {
        HttpURLConnection connection = (HttpURLConnection) new URL(url).openConnection();
        connection.setRequestMethod(method);
        connection.setRequestProperty("Authorization", "Bearer a-key-for-tests");
        if (body != null) {
            connection.setRequestProperty("Content-Type", "application/json");
            connection.setDoOutput(true);
            connection.getOutputStream().write(body.getBytes(StandardCharsets.UTF_8));
        }
        try (InputStream answer = connection.getInputStream()) {
            return answer.readAllBytes();
        }
    }

    static byte[] byHttpClient(String method, String url, String body) throws Exception {
        HttpRequest.BodyPublisher sent = body == null
                ? HttpRequest.BodyPublishers.noBody() : HttpRequest.BodyPublishers.ofString(body);
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
                .header("Authorization", "Bearer a-key-for-tests").header("Content-Type", "application/json")
                .method(method, sent).build();
        return CLIENT.send(request, HttpResponse.BodyHandlers.ofByteArray()).body();
    }

    static byte[] send(String client, String method, String url, String body) throws Exception {
        return client.equals("HttpURLConnection") ? byUrlConnection(method, url, body) : byHttpClient(method, url, body);
    }

    static String field(String name, String json) {
        Matcher found = Pattern.compile("\"" + name + "\": *\"([^\"]*)\"").matcher(json);
        return found.find() ? found.group(1) : "";
    }

    public static void main(String[] arguments) throws Exception {
        String wait = System.getenv().getOrDefault("WAIT", "10");
        String made = new String(send(arguments[0], "POST", API, BODY), StandardCharsets.UTF_8);
        String id = field("id", made);
        while (!field("status", made).matches("completed|error")) {
            Thread.sleep((long) (Double.parseDouble(wait) * 1000));
            made = new String(send(arguments[0], "GET", API + "?generation_id=" + id, null), StandardCharsets.UTF_8);
        }
        System.out.println(field("status", made) + " " + send(arguments[0], "GET", field("url", made), null).length);
    }
}
