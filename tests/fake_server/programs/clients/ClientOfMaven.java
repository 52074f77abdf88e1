import java.util.regex.Matcher;
import java.util.regex.Pattern;
import okhttp3.MediaType;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.RequestBody;
import okhttp3.Response;
import org.apache.http.client.methods.CloseableHttpResponse;
import org.apache.http.client.methods.RequestBuilder;
import org.apache.http.entity.ContentType;
import org.apache.http.entity.StringEntity;
import org.apache.http.impl.client.CloseableHttpClient;
import org.apache.http.impl.client.HttpClients;
import org.apache.http.util.EntityUtils;

/** Makes a video and downloads it, by the client from Maven that the first argument names. */
public class ClientOfMaven {
    static final String API = "https://api.aimlapi.com/v2/generate/video/kling/generation";
    static final String BODY = "{\"model\": \"kling-video/v1/pro/image-to-video\", "
            + "\"image_url\": \"https://example.com/cat.png\", \"prompt\": \"The cat wakes up.\"}";

    static byte[] byOkHttp(String method, String url, String body) throws Exception {
        RequestBody sent = body == null ? null : RequestBody.create(body, MediaType.get("application/json"));
        Request request = new Request.Builder().url(url).header("Authorization", "Bearer a-key-for-tests")
                .method(method, sent).build();
        try (Response answer = new OkHttpClient().newCall(request).execute()) {
            return answer.body().bytes();
        }
    }

    static byte[] byApache(CloseableHttpClient client, String method, String url, String body) throws Exception {
        RequestBuilder request = RequestBuilder.create(method).setUri(url)
                .setHeader("Authorization", "Bearer a-key-for-tests");
        if (body != null) {
            request.setEntity(new StringEntity(body, ContentType.APPLICATION_JSON));
        }
        try (client; CloseableHttpResponse answer = client.execute(request.build())) {
            return EntityUtils.toByteArray(answer.getEntity());
        }
    }

    static byte[] send(String client, String method, String url, String body) throws Exception {
        switch (client) {
            case "OkHttp": return byOkHttp(method, url, body);
            case "Apache of the system": return byApache(HttpClients.createSystem(), method, url, body);
            default: return byApache(HttpClients.createDefault(), method, url, body);
        }
    }

    static String field(String name, String json) {
        Matcher found = Pattern.compile("\"" + name + "\": *\"([^\"]*)\"").matcher(json);
        return found.find() ? found.group(1) : "";
    }

    public static void main(String[] arguments) throws Exception {
        String wait = System.getenv().getOrDefault("WAIT", "10");
        String made = new String(send(arguments[0], "POST", API, BODY));
        String id = field("id", made);
        while (!field("status", made).matches("completed|error")) {
            Thread.sleep((long) (Double.parseDouble(wait) * 1000));
            made = new String(send(arguments[0], "GET", API + "?generation_id=" + id, null));
        }
        System.out.println(field("status", made) + " " + send(arguments[0], "GET", field("url", made), null).length);
        System.exit(0);
    }
}
