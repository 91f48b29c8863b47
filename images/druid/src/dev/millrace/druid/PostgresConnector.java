package dev.millrace.druid;

import com.google.common.base.Supplier;
import com.google.inject.Inject;
import java.sql.DatabaseMetaData;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Locale;
import org.apache.commons.dbcp2.BasicDataSource;
import org.apache.druid.metadata.MetadataStorageConnectorConfig;
import org.apache.druid.metadata.MetadataStorageTablesConfig;
import org.apache.druid.metadata.SQLMetadataConnector;
import org.apache.druid.segment.metadata.CentralizedDatasourceSchemaConfig;
import org.skife.jdbi.v2.DBI;
import org.skife.jdbi.v2.Handle;

/** How Druid speaks to PostgreSQL, which folds the names that are not quoted to lower case. */
public final class PostgresConnector extends SQLMetadataConnector {
  private static final int FETCH_ROWS = 100;

  private final DBI dbi;

  @Inject
  public PostgresConnector(
      Supplier<MetadataStorageConnectorConfig> config,
      Supplier<MetadataStorageTablesConfig> tables,
      CentralizedDatasourceSchemaConfig schemas) {
    super(config, tables, schemas);
    BasicDataSource source = getDatasource();
    // The driver is beside this class, where Druid itself does not look.
    source.setDriverClassLoader(getClass().getClassLoader());
    source.setDriverClassName("org.postgresql.Driver");
    dbi = new DBI(source);
  }

  @Override
  public DBI getDBI() {
    return dbi;
  }

  @Override
  public String getPayloadType() {
    return "BYTEA";
  }

  @Override
  public String getSerialType() {
    return "BIGSERIAL";
  }

  @Override
  public String getQuoteString() {
    return "\"";
  }

  @Override
  public int getStreamingFetchSize() {
    return FETCH_ROWS;
  }

  @Override
  public String limitClause(int limit) {
    return "LIMIT " + limit;
  }

  @Override
  public boolean tableExists(Handle handle, String table) {
    return !handle
        .createQuery(
            "SELECT table_name FROM information_schema.tables"
                + " WHERE table_schema = current_schema() AND table_name = :name")
        .bind("name", folded(table))
        .list()
        .isEmpty();
  }

  @Override
  public ResultSet getIndexInfo(DatabaseMetaData database, String table) throws SQLException {
    return database.getIndexInfo(null, null, folded(table), false, false);
  }

  @Override
  protected boolean tableHasColumn(String table, String column) {
    return super.tableHasColumn(folded(table), folded(column));
  }

  /** Lost connections, a server that goes down or comes up, and transactions that stood in each other's way. */
  @Override
  protected boolean connectorIsTransientException(Throwable error) {
    String state = error instanceof SQLException sql ? sql.getSQLState() : null;
    return state != null
        && (state.startsWith("08") || state.startsWith("40") || state.startsWith("53") || state.startsWith("57P"));
  }

  private static String folded(String name) {
    return name.toLowerCase(Locale.ROOT);
  }
}
