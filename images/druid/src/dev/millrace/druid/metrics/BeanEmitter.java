package dev.millrace.druid.metrics;

import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import javax.management.JMException;
import javax.management.MBeanServer;
import javax.management.ObjectName;
import org.apache.druid.java.util.common.logger.Logger;
import org.apache.druid.java.util.emitter.core.Emitter;
import org.apache.druid.java.util.emitter.core.Event;
import org.apache.druid.java.util.emitter.service.ServiceMetricEvent;

/** Keeps of each metric how often it was told, the sum, and the last value. */
final class BeanEmitter implements Emitter {
  private static final Logger LOG = new Logger(BeanEmitter.class);
  /** More than that nobody looks at; a server with thousands of data sources is not to run out of memory for it. */
  private static final int MOST = 2000;

  private final Map<String, List<String>> wanted;
  private final MBeanServer server;
  private final ConcurrentHashMap<String, Told> beans = new ConcurrentHashMap<>();
  private final AtomicBoolean full = new AtomicBoolean();

  BeanEmitter(Map<String, List<String>> wanted, MBeanServer server) {
    this.wanted = wanted;
    this.server = server;
  }

  @Override
  public void start() {}

  @Override
  public void emit(Event event) {
    if (!(event instanceof ServiceMetricEvent metric)) {
      return;
    }
    List<String> dimensions = wanted.get(metric.getMetric());
    if (dimensions == null) {
      return;
    }
    StringBuilder name = new StringBuilder("millrace.druid:metric=").append(metric.getMetric());
    if (!dimensions.isEmpty()) {
      // Not getUserDims, which fails where a value is absent: a question would fail with it.
      Map<String, Object> given = metric.toMap();
      for (String dimension : dimensions) {
        name.append(',').append(dimension).append('=').append(plain(given.get(dimension)));
      }
    }
    Told told = beans.get(name.toString());
    if (told == null && beans.size() < MOST) {
      told = beans.computeIfAbsent(name.toString(), this::register);
    }
    if (told != null) {
      told.add(metric.getValue().doubleValue());
    } else if (full.compareAndSet(false, true)) {
      LOG.warn(
          "[%s] is not told, nor is anything else that comes new: a server tells of %s metrics at most, each data source"
              + " apart; a restart forgets the data sources that are gone, and fewer dimensions in the settings"
              + " millrace.metric.NAME make fewer of them",
          name,
          MOST);
    }
  }

  private Told register(String name) {
    Told told = new Told();
    try {
      server.registerMBean(told, new ObjectName(name));
    } catch (JMException e) {
      LOG.warn(e, "the metric [%s] is not told", name);
    }
    return told;
  }

  /** What may stand in the name of a bean, and what its exporter makes a label of. */
  private static String plain(Object value) {
    String text = value == null ? "" : value.toString();
    return text.isEmpty() ? "none" : text.replaceAll("[^A-Za-z0-9_.-]", "_");
  }

  @Override
  public void flush() {}

  @Override
  public void close() {}
}
