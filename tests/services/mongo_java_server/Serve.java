// Serves MongoDB's protocol from memory on 127.0.0.1: java -cp 'jars/*' Serve.java PORT [REPLICA_SET]
//
// With a replica set's name it says that it is that set's primary, and its only member; with -Dmongos=true that it is a
// mongos. -Dwire=N is the wire version that it says.

import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import io.netty.channel.Channel;
import java.util.List;

public class Serve {
  /** The server's own versions stop at wire version 8, and pymongo wants 9. */
  static class Version implements MongoVersion {
    @Override
    public List<Integer> getVersionArray() {
      return List.of(4, 4, 0);
    }

    @Override
    public int getWireVersion() {
      return Integer.getInteger("wire", 9);
    }
  }

  static class Backend extends MemoryBackend {
    private final String member;
    private final String replicaSet;

    Backend(String member, String replicaSet) {
      this.member = member;
      this.replicaSet = replicaSet;
    }

    @Override
    public Document handleCommand(Channel channel, String database, String command, Document query) {
      Document answer = super.handleCommand(channel, database, command, query);
      if (replicaSet != null && command.equalsIgnoreCase("ismaster")) {
        answer.put("setName", replicaSet);
        answer.put("setVersion", 1);
        answer.put("me", member);
        answer.put("primary", member);
        answer.put("hosts", List.of(member));
      }
      if (Boolean.getBoolean("mongos") && command.equalsIgnoreCase("ismaster")) {
        answer.put("msg", "isdbgrid");
      }
      return answer;
    }
  }

  public static void main(String[] arguments) throws Exception {
    int port = Integer.parseInt(arguments[0]);
    String replicaSet = arguments.length > 1 ? arguments[1] : null;
    Backend backend = new Backend("127.0.0.1:" + port, replicaSet);
    backend.version(new Version());
    new MongoServer(backend).bind("127.0.0.1", port);
    Thread.currentThread().join();
  }
}
