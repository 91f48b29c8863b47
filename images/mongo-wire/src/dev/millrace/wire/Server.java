package dev.millrace.wire;

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CountDownLatch;
import org.h2.mvstore.MVStore;

/**
 * A server that speaks MongoDB's wire protocol and keeps its documents in one file, for development. It has no users and
 * no replicas.
 *
 * <p>Arguments: the directory of the file, and the port. It listens on all addresses, or on that of a third argument.
 */
public final class Server {
    /** What drivers are told: they refuse servers older than this, and use what came later only if they are told of it. */
    private enum Version implements MongoVersion {
        TOLD;

        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    }

    /** Commands after which nothing has to be written. */
    private static final Set<String> READS =
            Set.of(
                    "find", "getMore", "aggregate", "count", "distinct", "hello", "isMaster", "ismaster", "ping",
                    "buildInfo", "buildinfo", "listCollections", "listIndexes", "listDatabases", "killCursors",
                    "endSessions", "serverStatus", "collStats", "dbStats");

    /** Whoever is told that a write is done finds it again after the process was killed. */
    private static final class Durable extends H2Backend {
        private final MVStore store;

        Durable(MVStore store) {
            super(store);
            this.store = store;
            version(Version.TOLD);
        }

        @Override
        public Document handleMessage(MongoMessage message) {
            try {
                Document answer = super.handleMessage(message);
                if (!READS.contains(message.getDocument().keySet().iterator().next())) {
                    commit();
                }
                return answer;
            } finally {
                // A write that failed closes the file for good. Nobody is told anything then: who has started this process
                // starts it again, with what was acknowledged.
                if (store.isClosed()) {
                    System.err.println(
                            "the file of documents cannot be written any more: give its volume more room, or take something"
                                    + " away; this server ends, and goes on with what it has acknowledged");
                    Runtime.getRuntime().halt(1);
                }
            }
        }
    }

    private Server() {}

    public static void main(String[] arguments) throws Exception {
        if (arguments.length < 2 || arguments.length > 3) {
            System.err.println("usage: Server DIRECTORY PORT [ADDRESS]");
            System.exit(2);
        }
        Path directory = Files.createDirectories(Path.of(arguments[0]));
        int port = Integer.parseInt(arguments[1]);
        String address = arguments.length > 2 ? arguments[2] : "0.0.0.0";
        MVStore store =
                new MVStore.Builder()
                        .fileName(directory.resolve("documents.mv").toString())
                        .cacheSize(16)
                        .open();
        MongoServer server = new MongoServer(new Durable(store));
        server.bind(address, port);
        System.out.println("serving the wire protocol on " + address + ":" + port + " from " + directory);
        CountDownLatch ended = new CountDownLatch(1);
        Runtime.getRuntime()
                .addShutdownHook(
                        new Thread(
                                () -> {
                                    server.shutdown();
                                    store.close();
                                    ended.countDown();
                                }));
        ended.await();
    }
}
