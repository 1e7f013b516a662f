// Java's client for the compatibility matrix (java Client.java); jobs as support/clients.py describes them.

import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.MessageDigest;
import java.security.Security;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.util.Arrays;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLException;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManagerFactory;

public class Client {
    static SSLContext context;
    static byte[] body;

    static String sha256(byte[] data) throws Exception {
        StringBuilder hex = new StringBuilder();
        for (byte b : MessageDigest.getInstance("SHA-256").digest(data)) {
            hex.append(String.format("%02x", b));
        }
        return hex.toString();
    }

    static SSLSocket connect(int port) throws Exception {
        SSLSocket socket = (SSLSocket) context.getSocketFactory().createSocket(new Socket("127.0.0.1", port), "localhost", port, true);
        SSLParameters parameters = socket.getSSLParameters();
        parameters.setEndpointIdentificationAlgorithm("HTTPS");
        parameters.setApplicationProtocols(new String[] {"http/1.1"});
        socket.setSSLParameters(parameters);
        return socket;
    }

    static void send(SSLSocket socket, String head, byte[] content) throws Exception {
        OutputStream out = socket.getOutputStream();
        out.write((head + "Host: localhost\r\n\r\n").getBytes(StandardCharsets.US_ASCII));
        out.write(content);
        out.flush();
    }

    // What one connection brought: the content of its answer, and how it ended.
    record Visit(byte[] content, String close) {}

    // The answer's content, as far as the connection's end, or as long as the content is said to be.
    static Visit receive(SSLSocket socket, int length) throws Exception {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        String close = "notify"; // with requireCloseNotify an end without it is an exception
        int head = -1;
        try {
            InputStream in = socket.getInputStream();
            byte[] some = new byte[65536];
            for (int n = in.read(some); n >= 0; n = in.read(some)) {
                all.write(some, 0, n);
                if (head < 0) {
                    head = all.toString(StandardCharsets.ISO_8859_1).indexOf("\r\n\r\n") + 4;
                }
                if (all.size() == head + length) {
                    break;
                }
            }
        } catch (SSLException e) {
            if (!String.valueOf(e.getMessage()).matches(".*peer shut down incorrectly.*|.*host terminated the connection.*")) {
                throw e;
            }
            close = "cut";
        }
        byte[] bytes = all.toByteArray();
        return new Visit(Arrays.copyOfRange(bytes, head, bytes.length), close);
    }

    static final int TO_THE_END = -1 << 30;

    static Visit visit(int port, String head, byte[] content) throws Exception {
        try (SSLSocket socket = connect(port)) {
            send(socket, head + "Connection: close\r\n", content);
            return receive(socket, TO_THE_END);
        }
    }

    static String get(String id) {
        return "GET /down/" + id + " HTTP/1.1\r\n";
    }

    static String post(String id) {
        return "POST /up/" + id + " HTTP/1.1\r\nContent-Length: " + body.length + "\r\n";
    }

    static String json(Visit down, Visit up) throws Exception {
        return String.format("\"down\":\"%s\",\"up\":\"%s\",\"close\":\"%s\"", sha256(down.content()),
                             new String(up.content(), StandardCharsets.ISO_8859_1),
                             down.close().equals("notify") ? up.close() : down.close());
    }

    static String http1(String id, int port) throws Exception {
        Visit down = visit(port, get(id), new byte[0]);
        return json(down, visit(port, post(id), body));
    }

    // Both requests on one connection: Java sends KeyUpdates while it receives, which a server that has closed resets.
    static String keyUpdate(String id, int port) throws Exception {
        try (SSLSocket socket = connect(port)) {
            send(socket, get(id), new byte[0]);
            Visit down = receive(socket, body.length);
            send(socket, post(id) + "Connection: close\r\n", body);
            return json(down, receive(socket, TO_THE_END));
        }
    }

    static String http2(String id, int port) throws Exception {
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).sslContext(context).build();
        URI origin = URI.create("https://localhost:" + port);
        HttpResponse<byte[]> down = client.send(HttpRequest.newBuilder(origin.resolve("/down/" + id)).build(),
                                                HttpResponse.BodyHandlers.ofByteArray());
        HttpRequest post = HttpRequest.newBuilder(origin.resolve("/up/" + id))
                               .POST(HttpRequest.BodyPublishers.ofByteArray(body)).build();
        HttpResponse<String> up = client.send(post, HttpResponse.BodyHandlers.ofString());
        return String.format("\"down\":\"%s\",\"up\":\"%s\"", sha256(down.body()), up.body());
    }

    // Arguments: the authorities, the body to upload; then a value for jdk.tls.keyLimits, where KeyUpdates are wanted.
    public static void main(String[] arguments) throws Exception {
        System.setProperty("com.sun.net.ssl.requireCloseNotify", "true");
        if (arguments.length > 2) {
            Security.setProperty("jdk.tls.keyLimits", arguments[2]);
        }
        KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
        trusted.load(null, null);
        byte[] pem = Files.readAllBytes(Path.of(arguments[0]));
        for (Certificate c : CertificateFactory.getInstance("X.509").generateCertificates(new ByteArrayInputStream(pem))) {
            trusted.setCertificateEntry("ca" + trusted.size(), c);
        }
        TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
        trust.init(trusted);
        context = SSLContext.getInstance("TLS");
        context.init(null, trust.getTrustManagers(), null);
        body = Files.readAllBytes(Path.of(arguments[1]));

        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] job = line.split(" ");
            int port = Integer.parseInt(job[1]);
            String seen;
            System.err.println("job " + job[0]);
            try {
                seen = switch (job[2]) {
                    case "h2" -> http2(job[0], port);
                    case "keyupdate" -> keyUpdate(job[0], port);
                    default -> http1(job[0], port);
                };
            } catch (Exception e) {
                seen = "\"error\":\"" + e.toString().replaceAll("[^ -!#-\\[\\]-~]", " ") + "\"";
            }
            System.out.println("{\"id\":\"" + job[0] + "\"," + seen + "}");
        }
        System.exit(0); // HttpClient's threads stay otherwise
    }
}
