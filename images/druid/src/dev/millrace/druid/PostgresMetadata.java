package dev.millrace.druid;

import com.google.inject.Binder;
import com.google.inject.Key;
import java.util.List;
import org.apache.druid.guice.LazySingleton;
import org.apache.druid.guice.PolyBind;
import org.apache.druid.guice.SQLMetadataStorageDruidModule;
import org.apache.druid.initialization.DruidModule;
import org.apache.druid.metadata.MetadataStorageActionHandlerFactory;
import org.apache.druid.metadata.MetadataStorageConnector;
import org.apache.druid.metadata.MetadataStorageProvider;
import org.apache.druid.metadata.NoopMetadataStorageProvider;
import org.apache.druid.metadata.PostgreSQLMetadataStorageActionHandlerFactory;
import org.apache.druid.metadata.SQLMetadataConnector;

/**
 * Lets Druid keep what it knows in a PostgreSQL: `druid.metadata.storage.type=postgresql`. Maven Central has the upstream
 * extension for no version that fits; its settings are the same.
 */
public final class PostgresMetadata extends SQLMetadataStorageDruidModule implements DruidModule {
  private static final String TYPE = "postgresql";

  public PostgresMetadata() {
    super(TYPE);
  }

  @Override
  public List<? extends com.fasterxml.jackson.databind.Module> getJacksonModules() {
    return List.of();
  }

  @Override
  public void configure(Binder binder) {
    super.configure(binder);
    choose(binder, MetadataStorageProvider.class, NoopMetadataStorageProvider.class);
    choose(binder, MetadataStorageConnector.class, PostgresConnector.class);
    choose(binder, SQLMetadataConnector.class, PostgresConnector.class);
    choose(
        binder,
        MetadataStorageActionHandlerFactory.class,
        PostgreSQLMetadataStorageActionHandlerFactory.class);
  }

  private static <T> void choose(Binder binder, Class<T> what, Class<? extends T> which) {
    PolyBind.optionBinder(binder, Key.get(what)).addBinding(TYPE).to(which).in(LazySingleton.class);
  }
}
