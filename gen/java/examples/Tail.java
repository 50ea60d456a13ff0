import io.grpc.Grpc;
import io.grpc.TlsChannelCredentials;
import java.io.File;
import sonde.query.v1.QueryServiceGrpc;
import sonde.query.v1.WatchResultsRequest;

/** Prints results as they are stored: java -cp CLASSES Tail.java ADDRESS CA CERTIFICATE KEY */
public class Tail {
    public static void main(String[] args) throws Exception {
        var credentials = TlsChannelCredentials.newBuilder()
                .trustManager(new File(args[1]))
                .keyManager(new File(args[2]), new File(args[3]))
                .build();
        var channel = Grpc.newChannelBuilder(args[0], credentials).build();
        var answers = QueryServiceGrpc.newBlockingStub(channel).watchResults(WatchResultsRequest.getDefaultInstance());
        while (answers.hasNext()) {
            var answer = answers.next();
            if (answer.getMissed() > 0) {
                System.out.println("missed " + answer.getMissed());
            }
            if (answer.hasResult()) {
                var result = answer.getResult();
                var classification = result.getClassification();
                System.out.printf("%s %s %s port %d%n", result.getSessionId(),
                        classification.getUnknown() ? "unknown" : classification.getLabel(), result.getServer().getAddress(),
                        result.getServer().getPort());
            }
        }
    }
}
