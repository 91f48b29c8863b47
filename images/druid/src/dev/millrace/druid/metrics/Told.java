package dev.millrace.druid.metrics;

import java.util.concurrent.TimeUnit;

/** The numbers of one metric. */
public final class Told implements ToldMXBean {
  /** What is measured is told each 15 s. */
  private static final long OLD = TimeUnit.MINUTES.toNanos(2);

  private long count;
  private double total;
  private double last;
  private long at;

  synchronized void add(double value) {
    count += 1;
    total += value;
    last = value;
    at = System.nanoTime();
  }

  @Override
  public synchronized long getCount() {
    return count;
  }

  @Override
  public synchronized double getTotal() {
    return total;
  }

  @Override
  public synchronized Double getLast() {
    return count == 0 || System.nanoTime() - at > OLD ? null : last;
  }
}
