"""Computes the answers of docs/analysts.md a second time: python analyse.py SETTINGS.json prints them as one JSON object.

DuckDB reads the files; everything else is written down anew here, by other algorithms than the job's: event by event, limits and
the likelihood by bisection, golden section and finite differences.
"""

import csv
import json
import math
import pathlib
import sys
from collections import defaultdict

import duckdb

settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
connection = duckdb.connect(config={"threads": 2})


def rows(files, columns):
    if not files:
        return []
    query = f"SELECT {columns} FROM read_parquet({json.dumps(files).replace(chr(34), chr(39))}, union_by_name = true)"
    return connection.execute(query).fetchall()


MICROS = "epoch_us(time)"
HOUR = 3_600_000_000
told = rows(settings["events"], f"vehicle, id, {MICROS}, kind, component, odometer, model, kafka_partition, kafka_offset")
events = {}
for event in sorted((e for e in told if None not in e[:4]), key=lambda e: e[7:9]):
    events.setdefault(event[:2], event)
events = sorted(events.values(), key=lambda e: (e[0], e[2]))
alerts = [a for a in rows(settings["alerts"], f"vehicle, {MICROS}, rule, wheel, model") if a[2] in ("slow-puncture", "tyre-pressure-low")]
telemetry = rows(settings["telemetry"], f"vehicle, {MICROS}, odometer, model")

seen, models, odometers = defaultdict(list), defaultdict(list), defaultdict(list)
for vehicle, time, odometer, model in [(e[0], e[2], e[5], e[6]) for e in events] + [(a[0], a[1], None, a[4]) for a in alerts] + telemetry:
    seen[vehicle].append(time)
    if model:
        models[vehicle].append((time, model))
    if odometer is not None:
        odometers[vehicle].append((time, odometer))
as_of = max(max(times) for times in seen.values()) + 1
model_of = {v: max(models[v])[1] if models[v] else "unknown" for v in seen}


def until(vehicle):
    last = max(seen[vehicle])
    return last + 1 if as_of - last > settings["gone_after"] * 1_000_000 else as_of


def bisect(low, high, rises):
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (low, middle) if rises(middle) else (middle, high)
    return (low + high) / 2


def poisson(n, mean):
    """P(N <= n)"""
    return sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(n + 1)) if mean > 0 else 1.0


def garwood(n, exposure):
    top = 10.0 * n + 50
    low = bisect(0, top, lambda m: 1 - poisson(n - 1, m) > 0.025) if n else 0.0
    return low / exposure, bisect(0, top, lambda m: poisson(n, m) < 0.025) / exposure


answers, left_out = [], []


def answer(question, scope, measure, method, estimate, limits, count, censored=None):
    low, high = limits or (None, None)
    answers.append({"question": question, "scope": scope, "measure": measure, "method": method, "estimate": estimate, "low": low,
                    "high": high, "events": count, "censored": censored})


# Odometers, event by event: what falls by more than 2 km is left out.
distances = []
for vehicle in sorted(seen):
    known = sorted(odometers[vehicle])
    most = -math.inf
    for _, odometer in known:
        if odometer < most - 2000:
            left_out.append(vehicle)
            break
        most = max(most, odometer)
    if vehicle in left_out or not known:
        continue
    broken = []
    for event in events:
        if event[0] == vehicle and event[3] == "breakdown" and event[4] == "engine":
            before = [o for t, o in known if t <= event[2]]
            broken.append(event[5] if event[5] is not None else before[-1] if before else known[0][1])
    begin, last = known[0][1], None
    for odometer in sorted(broken):
        if last is not None and odometer - last <= 1000:
            continue
        last = odometer
        if odometer > begin:
            distances.append((vehicle, (odometer - begin) / 1000, True))
            begin = odometer
    if max(o for _, o in known) > begin:
        distances.append((vehicle, (max(o for _, o in known) - begin) / 1000, False))

# 1. Requests.
km_of = {v: (max(o for _, o in odometers[v]) - sorted(odometers[v])[0][1]) / 1000 if odometers[v] else 0.0 for v in seen}
groups = defaultdict(lambda: [0, 0.0, 0.0])
for vehicle in seen:
    if vehicle in left_out:
        continue
    group = groups[model_of[vehicle]]
    first, end = min(seen[vehicle]), until(vehicle)
    group[0] += sum(1 for e in events if e[0] == vehicle and e[3] in ("check", "repair", "maintenance") and first <= e[2] < end)
    group[1] += (end - first) / HOUR / 730.5
    group[2] += km_of[vehicle] / 1000
for model, (count, months, km) in groups.items():
    answer("requests", model, "per month", "Garwood", count / months, garwood(count, months), count)
    if km > 0:
        answer("requests", model, "per 1000 km", "Garwood", count / km, garwood(count, km), count)


# Lifetimes.
def log_likelihood(lives, mu, sigma):
    total = 0.0
    for length, failed in lives:
        z = (math.log(length) - mu) / sigma
        total += (z - math.log(sigma) - math.log(length) if failed else 0.0) - math.exp(z)
    return total


def golden(low, high, value):
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(300):
        one, other = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, other) if value(one) > value(other) else (one, high)
    return (low + high) / 2


def weibull(lives):
    lives = [l for l in lives if l[0] > 0]
    failed = sum(1 for l in lives if l[1])

    # For each shape the best scale is known; the shape is searched.
    def mu_of(sigma):
        top = max(l for l, _ in lives)
        return math.log(top) + sigma * math.log(sum((l / top) ** (1 / sigma) for l, _ in lives) / failed)

    sigma = math.exp(golden(math.log(0.02), math.log(20), lambda s: log_likelihood(lives, mu_of(math.exp(s)), math.exp(s))))
    mu = mu_of(sigma)
    mean = lambda m, s: math.exp(m + math.lgamma(1 + s))
    step = 1e-4

    def second(i, j):
        def at(a, b):
            point = [mu, sigma]
            point[i] += a * step
            point[j] += b * step
            return log_likelihood(lives, *point)
        return -(at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * step * step)

    a, b, c = second(0, 0), second(0, 1), second(1, 1)
    determinant = a * c - b * b
    slopes = [(mean(mu + step, sigma) - mean(mu - step, sigma)) / (2 * step), (mean(mu, sigma + step) - mean(mu, sigma - step)) / (2 * step)]
    variance = (slopes[0] ** 2 * c - 2 * slopes[0] * slopes[1] * b + slopes[1] ** 2 * a) / determinant
    value = mean(mu, sigma)
    width = math.exp(1.959963984540054 * math.sqrt(variance) / value)
    return value, (value / width, value * width)


def survival(lives):
    steps, share, variance = [], 1.0, 0.0
    for length in sorted({l for l, failed in lives if failed}):
        at_risk = sum(1 for l, _ in lives if l >= length)
        failed = sum(1 for l, f in lives if f and l == length)
        share *= 1 - failed / at_risk
        if failed < at_risk:
            variance += failed / (at_risk * (at_risk - failed))
        steps.append((length, at_risk, failed, share, share * share * variance))
    return steps


def area(steps, start, end):
    total, at, share = 0.0, 0.0, 1.0
    for length, _, _, after, _ in steps + [(end, 0, 0, 0, 0)]:
        if length > end:
            length = end
        total += share * max(0.0, length - max(at, start))
        at, share = length, after
    return total


curves = []


def of_lifetimes(question, scope, lives):
    failed = sum(1 for _, f in lives if f)
    told = (failed, len(lives) - failed)
    if failed > 1:
        answer(question, scope, "mean", "Weibull, maximum likelihood", *weibull(lives), *told)
    if failed:
        exposure = sum(l for l, _ in lives)
        low, high = garwood(failed, exposure)
        answer(question, scope, "mean", "constant rate", exposure / failed, (1 / high, 1 / low), *told)
    steps = survival(lives)
    curves.extend({"question": question, "scope": scope, "length": s[0], "at_risk": s[1], "failed": s[2], "survival": s[3],
                   "variance": s[4]} for s in steps)
    if lives:
        longest = max(l for l, _ in lives)
        mean = area(steps, 0.0, longest)
        variance = sum(area(steps, s[0], longest) ** 2 * s[2] / (s[1] * (s[1] - s[2])) for s in steps if s[2] < s[1])
        width = math.exp(1.959963984540054 * math.sqrt(variance) / mean)
        answer(question, scope, "restricted mean", "Kaplan-Meier", mean, (mean / width, mean * width), *told)
        half = [s[0] for s in steps if s[3] <= 0.5]
        if half:
            answer(question, scope, "median", "Kaplan-Meier", half[0], None, *told)


# 2. Engines.
of_lifetimes("engine", "all", [d[1:] for d in distances])
for model in sorted({model_of[d[0]] for d in distances}):
    of_lifetimes("engine", f"model: {model}", [d[1:] for d in distances if model_of[d[0]] == model])

# 3. Pressure: each wheel goes through its alerts and events in order of time.
TYRES = {"tyre", "tyre_front_left", "tyre_front_right", "tyre_rear_left", "tyre_rear_right"}
for scope in ("any", "tyre"):
    lives = []
    for vehicle, wheel in sorted({(a[0], a[3]) for a in alerts}, key=str):
        tyre = f"tyre_{wheel}" if wheel else None
        steps = [(a[1], 1, "alert", None) for a in alerts if (a[0], a[3]) == (vehicle, wheel)]
        # Events end what began before them; a breakdown goes before what was done at the same time.
        steps += [(e[2], 0, e[3], e[4]) for e in events if e[0] == vehicle]
        steps.sort(key=lambda s: (s[0], s[1], s[2] != "breakdown"))
        began, end = None, until(vehicle)
        for time, _, kind, component in steps:
            if time > end or (kind == "alert" and time >= end):
                continue
            if kind == "alert":
                began = time if began is None else began
                continue
            failed = kind == "breakdown" and (scope == "any" or component in TYRES)
            seen_to = kind in ("check", "repair", "maintenance") and (
                component in (None, "tyre") or component == tyre or (tyre is None and component in TYRES))
            if began is not None and (failed or seen_to):
                lives.append(((time - began) / HOUR, failed))
                began = None
        if began is not None:
            lives.append(((end - began) / HOUR, False))
    of_lifetimes("pressure", scope, lives)

# 4. Roads.
KINDS = ("highway", "main", "village")
stretches = []
if settings.get("roads"):
    stretches = connection.execute(
        f"SELECT vehicle, epoch_us(began::TIMESTAMPTZ), epoch_us(ended::TIMESTAMPTZ), metres, highway, main, village FROM read_csv('{settings['roads']}')"
    ).fetchall()
driven = dict.fromkeys(KINDS + ("unknown",), 0.0)
# What odometers tell, vehicle by vehicle, less what its stretches tell.
by_odometer = {v: km for v, km in km_of.items() if v not in left_out and km > 0}
beyond = dict(by_odometer)
for stretch in stretches:
    for kind, share in zip(KINDS, stretch[4:]):
        driven[kind] += stretch[3] / 1000 * share
    driven["unknown"] += stretch[3] / 1000 * (1 - sum(stretch[4:]))
    if stretch[0] in beyond:
        beyond[stretch[0]] -= stretch[3] / 1000
driven["unknown"] += sum(km for km in beyond.values() if km > 0)
counts = dict.fromkeys(driven, 0)
before = {}
for event in events:
    if event[3] != "breakdown":
        continue
    what = (event[0], event[4])
    last, before[what] = before.get(what), event[2]
    if last is not None and event[2] - last <= HOUR:
        continue
    at = [s for s in stretches if s[0] == event[0] and s[1] <= event[2] and s[2] >= event[2] - settings["stands_for"] * 1_000_000]
    road = "unknown"
    if at:
        shares = dict(zip(KINDS, max(at, key=lambda s: s[1])[4:]))
        shares["unknown"] = 1 - sum(shares.values())
        road = max(shares, key=shares.get)
    elif event[0] not in by_odometer:
        # Nobody knows how far it drove.
        continue
    counts[road] += 1
for road, km in driven.items():
    if km > 0:
        answer("roads", road, "per 1000 km", "Garwood", counts[road] / km * 1000, garwood(counts[road], km / 1000), counts[road])
one, other = counts["highway"], counts["village"]
if driven["highway"] > 0 and driven["village"] > 0 and one and other:
    n = one + other
    binomial = lambda k, p: sum(math.exp(math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) + i * math.log(p)
                                         + (n - i) * math.log(1 - p)) for i in range(k + 1))
    solve = lambda p: p / (1 - p) * driven["village"] / driven["highway"]
    low = bisect(1e-12, 1 - 1e-12, lambda p: 1 - binomial(one - 1, p) > 0.025)
    high = bisect(1e-12, 1 - 1e-12, lambda p: binomial(one, p) < 0.025)
    ratio = (one / driven["highway"]) / (other / driven["village"])
    answer("roads", "highway / village", "ratio", "Clopper-Pearson", ratio, (solve(low), solve(high)), n)

print(json.dumps({"answers": answers, "survival": curves, "left_out": sorted(left_out)}))
