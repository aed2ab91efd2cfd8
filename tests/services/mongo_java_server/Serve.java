// Serves MongoDB's protocol from memory on 127.0.0.1: java -cp 'jars/*' Serve.java PORT [REPLICA_SET]
//
// With a replica set's name it says that it is that set's primary, and its only member; with -Dmongos=true that it is a
// mongos. -Dwire=N is the wire version that it says. With -Deager=true it sends at once what a query asks for in batches.
//
// mongo-java-server takes an index that is not unique, and does not use it. Here it keeps the documents in the order of
// the dates in its first field, and is used as MongoDB uses one: for ranges of dates, for types and null, and for a sort,
// in `find`, `count` and the $match that begins an aggregate. What it finds is matched again by the server's own code, as
// without one. serverStatus says how many documents were: metrics.queryExecutor.scannedObjects.

import de.bwaldvogel.mongo.MongoCollection;
import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CollectionOptions;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.EmptyIndex;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.QueryResult;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryCollection;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.bson.Document;
import io.netty.channel.Channel;
import java.time.Instant;
import java.util.Collection;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.NavigableSet;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;

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

  /** The dates from one to another, both among them. */
  record Dates(Instant from, Instant to) {
    static final Dates ALL = new Dates(Instant.MIN, Instant.MAX);
    static final Dates NONE = new Dates(Instant.MAX, Instant.MIN);

    Dates and(Dates other) {
      return new Dates(from.isAfter(other.from) ? from : other.from, to.isBefore(other.to) ? to : other.to);
    }

    /** Returns the least that holds both. */
    Dates or(Dates other) {
      return new Dates(from.isBefore(other.from) ? from : other.from, to.isAfter(other.to) ? to : other.to);
    }
  }

  /** A document's date, and its position. */
  record Entry(Instant date, int position) {
    static final Comparator<Entry> ORDER =
        Comparator.comparing((Entry one) -> one.date).thenComparingInt(one -> one.position);
  }

  static class DateIndex extends EmptyIndex<Integer> {
    private final String path;
    private final NavigableSet<Entry> entries = new TreeSet<>(Entry.ORDER);
    /** Where documents stand that have something else there than one date. */
    private final Set<Integer> others = new LinkedHashSet<>();

    DateIndex(String name, List<IndexKey> keys) {
      super(name, keys);
      path = keys.get(0).getKey();
    }

    @Override
    public void add(Document document, Integer position, MongoCollection<Integer> collection) {
      Instant date = date(document);
      if (date == null) {
        others.add(position);
      } else {
        entries.add(new Entry(date, position));
      }
    }

    @Override
    public void updateInPlace(Document before, Document after, Integer position, MongoCollection<Integer> collection) {
      forget(before, position);
      add(after, position, collection);
    }

    void forget(Document document, Integer position) {
      Instant date = date(document);
      if (date == null) {
        others.remove(position);
      } else {
        entries.remove(new Entry(date, position));
      }
    }

    private Instant date(Document document) {
      Object value = document;
      for (String part : path.split("\\.")) {
        value = value instanceof Document inner ? inner.get(part) : null;
      }
      return value instanceof Instant date ? date : null;
    }

    /** Returns where the documents stand that can pass, sorted if that is asked for; null where the index is no help. */
    Stream<Integer> positions(Document query, boolean sorted, boolean descending) {
      Dates dates = dates(query);
      if (sorted ? !others.isEmpty() : dates.equals(Dates.ALL)) {
        return null;
      }
      if (dates.from.isAfter(dates.to)) {
        return others.stream();
      }
      NavigableSet<Entry> found =
          entries.subSet(new Entry(dates.from, 0), true, new Entry(dates.to, Integer.MAX_VALUE), true);
      return Stream.concat((descending ? found.descendingSet() : found).stream().map(Entry::position), others.stream());
    }

    boolean sorts(Document orderBy) {
      return orderBy != null && orderBy.size() == 1 && orderBy.containsKey(path);
    }

    /** Returns the dates that documents can have which pass. */
    private Dates dates(Document query) {
      return query.entrySet().stream().map(one -> dates(one.getKey(), one.getValue())).reduce(Dates.ALL, Dates::and);
    }

    @SuppressWarnings("unchecked")
    private Dates dates(String key, Object value) {
      if (key.equals("$and")) {
        return ((Collection<Document>) value).stream().map(this::dates).reduce(Dates.ALL, Dates::and);
      }
      if (key.equals("$or")) {
        return ((Collection<Document>) value).stream().map(this::dates).reduce(Dates.NONE, Dates::or);
      }
      if (!key.equals(path)) {
        return Dates.ALL;
      }
      if (value instanceof Document conditions) {
        return conditions.entrySet().stream()
            .map(one -> compared(one.getKey(), one.getValue()))
            .reduce(Dates.ALL, Dates::and);
      }
      return value == null ? Dates.NONE : Dates.ALL;
    }

    private static Dates compared(String operator, Object value) {
      if (operator.equals("$type") && value instanceof Collection<?> types) {
        return types.contains("date") || !types.stream().allMatch(String.class::isInstance) ? Dates.ALL : Dates.NONE;
      }
      if (!(value instanceof Instant date)) {
        return Dates.ALL;
      }
      return switch (operator) {
        case "$gt", "$gte" -> new Dates(date, Instant.MAX);
        case "$lt", "$lte" -> new Dates(Instant.MIN, date);
        default -> Dates.ALL;
      };
    }
  }

  static class Collected extends MemoryCollection {
    static final AtomicLong SCANNED = new AtomicLong();

    /** The $match that begins the aggregate which this thread answers. */
    static final ThreadLocal<Document> MATCH = new ThreadLocal<>();

    Collected(MongoDatabase database, String name, CollectionOptions options, CursorRegistry cursors) {
      super(database, name, options, cursors);
    }

    @Override
    protected boolean documentMatchesQuery(Document document, Document query) {
      SCANNED.incrementAndGet();
      return super.documentMatchesQuery(document, query);
    }

    @Override
    protected QueryResult queryDocuments(
        Document query, Document orderBy, int skip, int limit, int batchSize, Document fields) {
      for (Index<Integer> index : getIndexes()) {
        if (index instanceof DateIndex dates) {
          boolean sorts = dates.sorts(orderBy);
          boolean descends = sorts && ((Number) orderBy.get(dates.path)).intValue() < 0;
          Stream<Integer> sorted = sorts ? dates.positions(query, true, descends) : null;
          Stream<Integer> found = sorted == null ? dates.positions(query, false, false) : sorted;
          if (found != null) {
            Document order = sorted == null ? orderBy : null;
            return matchDocumentsFromStream(found.map(this::getDocument), query, order, skip, limit, batchSize, fields);
          }
        }
      }
      return super.queryDocuments(query, orderBy, skip, limit, batchSize, fields);
    }

    @Override
    public Stream<Document> queryAllAsStream() {
      Document match = MATCH.get();
      MATCH.remove();
      return match == null ? super.queryAllAsStream() : handleQueryAsStream(new Document("$query", match));
    }

    @Override
    protected void removeDocument(Integer position) {
      for (Index<Integer> index : getIndexes()) {
        if (index instanceof DateIndex dates) {
          dates.forget(getDocument(position), position);
        }
      }
      super.removeDocument(position);
    }
  }

  static class Database extends MemoryDatabase {
    Database(String name, CursorRegistry cursors) {
      super(name, cursors);
    }

    @Override
    protected MemoryCollection openOrCreateCollection(String name, CollectionOptions options) {
      return new Collected(this, name, options, cursorRegistry);
    }

    @Override
    protected Index<Integer> openOrCreateSecondaryIndex(
        String collection, String name, List<IndexKey> keys, boolean sparse) {
      return new DateIndex(name, keys);
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
    public MemoryDatabase openOrCreateDatabase(String name) {
      return new Database(name, getCursorRegistry());
    }

    @Override
    public Document getServerStatus() {
      Document executor = new Document("scannedObjects", Collected.SCANNED.get());
      return super.getServerStatus().append("metrics", new Document("queryExecutor", executor));
    }

    @Override
    public Document handleCommand(Channel channel, String database, String command, Document query) {
      if (query.get("pipeline") instanceof List<?> stages && !stages.isEmpty()) {
        Collected.MATCH.set((Document) ((Document) stages.get(0)).get("$match"));
      }
      if (Boolean.getBoolean("eager")) {
        query.remove("batchSize");
      }
      Document answer;
      try {
        answer = super.handleCommand(channel, database, command, query);
      } finally {
        Collected.MATCH.remove();
      }
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
