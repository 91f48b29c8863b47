package dev.millrace.druid.metrics;

/** What is told of one metric. */
public interface ToldMXBean {
  /** How often Druid told it. */
  long getCount();

  /** The sum of all that it told. */
  double getTotal();

  /** The last of it; nothing when that is long ago, as when what it is about is gone. */
  Double getLast();
}
