package dev.millrace.druid.metrics;

import com.fasterxml.jackson.databind.Module;
import com.google.inject.Binder;
import com.google.inject.Provides;
import com.google.inject.name.Named;
import java.lang.management.ManagementFactory;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.druid.guice.LazySingleton;
import org.apache.druid.initialization.DruidModule;
import org.apache.druid.java.util.emitter.core.Emitter;

/**
 * Lets Druid tell its metrics as managed beans, for the JMX exporter of Prometheus: `druid.emitter=beans`. Maven Central has
 * no extension of this version that tells them to Prometheus. Which are told, and by which of their dimensions they are told
 * apart, say the settings `millrace.metric.NAME=DIMENSION,DIMENSION`.
 */
public final class BeanMetrics implements DruidModule {
  private static final String TYPE = "beans";
  private static final String PREFIX = "millrace.metric.";

  @Override
  public List<? extends Module> getJacksonModules() {
    return List.of();
  }

  @Override
  public void configure(Binder binder) {}

  @Provides
  @LazySingleton
  @Named(TYPE)
  public Emitter emitter(Properties settings) {
    Map<String, List<String>> wanted = new HashMap<>();
    for (String name : settings.stringPropertyNames()) {
      if (name.startsWith(PREFIX)) {
        String dimensions = settings.getProperty(name).trim();
        wanted.put(
            name.substring(PREFIX.length()),
            dimensions.isEmpty() ? List.of() : List.of(dimensions.split(",")));
      }
    }
    return new BeanEmitter(wanted, ManagementFactory.getPlatformMBeanServer());
  }
}
