#!/usr/bin/python3
"""Makes something to read of the bench's runs: a text, the tables of docs/performance.md, and its chart.

    bench/report.py [--check] [FILE]     (./do bench --report [FILE])

rewrites what stands between the marks "bench:NAME" in docs/performance.md, and docs/performance.svg, from FILE, the
runs of ./do bench (default bench/results/latest.json), and from instructions.json beside it, which
./do bench --instructions --json writes. --check changes nothing and fails where the documents differ from the figures."""
import argparse, collections, json, os, re, statistics, sys

import chart
from rows import FLOORS, MEMORY, MEMORY_WORDS, ROWS

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LATEST = os.path.join(ROOT, "bench", "results", "latest.json")

# What the figures say of one peer in one row, and of one target.
Peer = collections.namedtuple("Peer", "name median least most runs failed figures")
Verdict = collections.namedtuple("Verdict", "target figure best reached")


def good_runs(results, name, peer):
    return [r for r in results["runs"].get(name, {}).get(peer, []) if "failed" not in r]


def peers_of(results, name):
    """The peers of a row that have figures, the best one first."""
    found = []
    for peer, runs in results["runs"].get(name, {}).items():
        good = good_runs(results, name, peer)
        if good:
            values = [r["value"] for r in good]
            figures = {key: statistics.median(r[key] for r in good) for key in good[0] if key != "value"}
            found.append(Peer(peer, statistics.median(values), min(values), max(values), len(good), len(runs) - len(good), figures))
    return sorted(found, key=lambda peer: peer.median)


def verdicts(results, name):
    """How Unlade did against each target of a row, as far as there are figures."""
    medians = {peer.name: peer.median for peer in peers_of(results, name)}
    found = []
    for target in ROWS[name].targets:
        rivals = {peer: value for peer, value in medians.items() if peer in target.rivals}
        if "unlade" not in medians or (target.rivals and not rivals):
            continue
        best = min(rivals, key=rivals.get) if rivals else None
        figure = medians["unlade"] / rivals[best] if best else medians["unlade"]
        found.append(Verdict(target, figure, best, round(figure, 2) <= target.limit))
    return found


def without_figures(results, name):
    """{peer: why} of those that could not take part, or failed each time."""
    why = dict(results["unfit"].get(name, {}))
    for peer, runs in results["runs"].get(name, {}).items():
        if runs and not good_runs(results, name, peer):
            why[peer] = "failed: " + runs[-1]["failed"]
    return why


def unit_of(row):
    return {"µs": "CPU µs", "ns/KB": "CPU ns/KB", "KB": "PSS KB", "µs p99": "p99 µs"}[row.unit]


def number(value):
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.1f}" if abs(value) >= 10 else f"{value:,.2f}"


def columns(row):
    """What to show of a peer besides its median: (head, figure, scale)."""
    if row.unit == "KB":
        return [("MB before", "before", 1 / 1024)]
    rate = ("MB/s", "rate", 1) if row.unit == "ns/KB" else ("op/s", "rate", 1)
    if row.unit == "µs p99":
        return [("p50 µs", "p50_us", 1), ("CPU µs", "cpu_us", 1), ("kernel %", "kernel", 100)]
    return [("kernel %", "kernel", 100), (rate[0], rate[1], rate[2]), ("p50 µs", "p50_us", 1), ("p99 µs", "p99_us", 1)]


def goal(target):
    return f"≤ {target.limit:.2f} of {target.words}" if target.rivals else f"≤ {target.limit:g} {target.words}"


def outcome(verdict):
    if verdict.best:
        return f"{verdict.figure:.2f} of {verdict.best}"
    return f"{verdict.figure:.2f} {verdict.target.words}"


def foreign(results):
    """Median share of the machine that went to others than the proxy, its load and its backend; None where not known."""
    shares = [r["foreign"] for peers in results["runs"].values() for runs in peers.values() for r in runs if "foreign" in r]
    return statistics.median(shares) if shares else None


# ---- text ----

def as_text(results):
    lines = []
    for name in (n for n in ROWS if results["runs"].get(n)):
        row = ROWS[name]
        lines += ["", f"{name}: {row.title}", "  " + "".ljust(10) + "".join(
            head.rjust(12) for head in (unit_of(row), "min", "max", "runs", *(c[0] for c in columns(row))))]
        for peer in peers_of(results, name):
            cells = [number(peer.median), number(peer.least), number(peer.most), str(peer.runs)]
            cells += [f"{peer.figures[figure] * scale:,.0f}" for _, figure, scale in columns(row)]
            note = f"   {peer.failed} more failed" if peer.failed else ""
            lines.append(f"  {peer.name:10}" + "".join(c.rjust(12) for c in cells) + note)
        lines += [f"  {peer:10}{why}" for peer, why in without_figures(results, name).items()]
        lines += [f"  {'REACHED' if v.reached else 'NOT REACHED'}: {outcome(v)}, wanted {goal(v.target)}"
                  for v in verdicts(results, name)]
    in_memory = handshakes_in_memory(results)
    if in_memory:
        lines += ["", "server side of a handshake in memory, CPU µs; operations a call of the multi-buffer library"]
        lines += [f"  {h.what:36}{h.who:52}{number(h.median):>8}  {h.lanes}" for h in in_memory]
        lines += [f"  {'REACHED' if h.median <= h.limit else 'NOT REACHED'}: {h.what}, {h.who}: {number(h.median)} µs, wanted ≤ {h.limit} µs"
                  for h in in_memory if h.limit]
    floors = [(FLOORS[name], runs) for name, runs in results["floors"].items()]
    if floors:
        lines += ["", "floors"]
        lines += [f"  {number(floor_median(runs)):>8} {floor[3]}  {floor[0]}" for floor, runs in floors if floor_median(runs)]
    share = foreign(results)
    if share is not None:
        lines += ["", f"Others took {share:.0%} of the machine meanwhile (median)."]
        if share > 0.05:
            lines.append("That is too much: what is compared here is as good as unproven.")
    if results["about"]["scale"] < 1:
        lines.append("Less than the whole work was done: a first look, proof of nothing.")
    return "\n".join(lines)


Handshake = collections.namedtuple("Handshake", "what who median limit lanes")


def handshakes_in_memory(results):
    """What a handshake costs the server in memory, as far as there are figures, in the order of MEMORY."""
    found = []
    for name, (what, engine, together, limit) in MEMORY.items():
        runs = results.get("memory", {}).get(name, [])
        if runs:
            lanes = [(key.removeprefix("lanes_"), statistics.median(r[key] for r in runs)) for key in runs[0] if key.startswith("lanes_")]
            found.append(Handshake(MEMORY_WORDS[what], f"{MEMORY_WORDS[engine]}, {MEMORY_WORDS[together]}",
                                   statistics.median(r["value"] for r in runs), limit,
                                   ", ".join(f"{work} {count:.1f}" for work, count in lanes)))
    return found


def floor_median(runs):
    values = [r["value"] for r in runs if "value" in r]
    return statistics.median(values) if values else None


# ---- markdown ----

def table(heads, rows):
    """A markdown table; all columns but the first are numbers."""
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def summary(results, instructions):
    rows = []
    for name in ROWS:
        for verdict in verdicts(results, name):
            own = next(p for p in peers_of(results, name) if p.name == "unlade")
            best = next((p for p in peers_of(results, name) if p.name == verdict.best), None)
            rivals = [p for p in peers_of(results, name) if p.name != "unlade" and p.name != "relay"]
            best = best or (rivals[0] if rivals else None)
            rows.append((ROWS[name].title, f"{number(own.median)} {ROWS[name].unit}", f"{number(best.median)} ({best.name})" if best else "",
                         f"{verdict.figure:.2f}" if verdict.best else "",
                         goal(verdict.target), "yes" if verdict.reached else "**no**"))
    return table(("", "Unlade", "the best of the others", "ratio", "target", "reached"), rows) if rows else ""


def details(results, instructions):
    parts = []
    for name in (n for n in ROWS if peers_of(results, n)):
        row = ROWS[name]
        rows = []
        for peer in peers_of(results, name):
            title = {"unlade": "**Unlade**", "relay": "*a relay without TLS*"}.get(peer.name, peer.name)
            rows.append((title, number(peer.median), f"{number(peer.least)}–{number(peer.most)}", str(peer.runs),
                         *(f"{peer.figures[figure] * scale:,.0f}" for _, figure, scale in columns(row))))
        text = f"**{row.title[0].upper()}{row.title[1:]}**\n\n" + table(
            ("", unit_of(row), "min–max", "runs", *(c[0] for c in columns(row))), rows)
        for peer, why in without_figures(results, name).items():
            text += f"\n\n{peer}: {why}."
        parts.append(text)
    return "\n\n".join(parts)


def memory(results, instructions):
    rows = [(f"{h.what}: {h.who}", number(h.median), f"≤ {h.limit}" if h.limit else "",
             ("yes" if h.median <= h.limit else "**no**") if h.limit else "", h.lanes) for h in handshakes_in_memory(results)]
    return table(("server's side of a handshake", "CPU µs", "target", "reached", "operations a call of the library"), rows) if rows else ""


def floors(results, instructions):
    rows = [(FLOORS[name][0], f"{number(floor_median(runs))} {FLOORS[name][3]}")
            for name, runs in results["floors"].items() if floor_median(runs)]
    return table(("alone, without network", "median"), rows) if rows else ""


def machine(results, instructions):
    about = results["about"]
    peers = ", ".join(f"{peer} {version}" for peer, version in about["peers"].items())
    text = (f"Measured on {about['date']}: {about['processor']}, {about['cores']} cores, Linux {about['kernel']}. Unlade "
            f"{about['unlade']} with {about['openssl']['own']}; Debian's {peers}, with {about['openssl']['system']}.")
    share = foreign(results)
    if share is not None:
        text += f" Other processes and the machine's host took {share:.0%} of the machine meanwhile (median of all runs)."
    if about["scale"] < 1:
        text += f" Only {about['scale']:g} of the usual amount of work was done: a first look."
    return text


def counts(results, instructions):
    if not instructions:
        return ""
    groups = ("unlade", "OpenSSL", "libc", "other libraries")
    rows = [(about["what"], f"{sum(about['costs'].values()):,.0f}", *(f"{about['costs'].get(group, 0):,.0f}" for group in groups))
            for about in instructions.values()]
    return table(("instructions in user space", "all", *groups), rows)


PARTS = {"machine": machine, "summary": summary, "details": details, "memory": memory, "floors": floors, "instructions": counts}


def fill_marks(document, results, instructions):
    """The document with what stands between its marks made anew."""
    for name, part in PARTS.items():
        pattern = re.compile(rf"(<!-- bench:{name} -->\n).*?(<!-- /bench:{name} -->)", re.S)
        if not pattern.search(document):
            raise ValueError(f"the document has no place for {name}")
        text = part(results, instructions)
        document = pattern.sub(lambda m: m[1] + (f"\n{text}\n\n" if text else "") + m[2], document)
    return document


def chart_panels(results):
    """What the chart shows: a panel for each row that has a target."""
    panels = []
    for name in (n for n in ROWS if ROWS[n].targets and peers_of(results, n)):
        row = ROWS[name]
        bars = [chart.Bar({"unlade": "Unlade", "relay": "relay, no TLS"}.get(p.name, p.name), p.median, number(p.median),
                          {"unlade": "own", "relay": "floor"}.get(p.name, "peer"))
                for p in peers_of(results, name) if p.name != "stunnel"]  # its long bars would make the others alike
        found = verdicts(results, name)
        limits = [v.target.limit * next((p.median for p in peers_of(results, name) if p.name == v.best), 1) for v in found]
        notes = [f"{outcome(v)}; target {goal(v.target)}: {'reached' if v.reached else 'not reached'}" for v in found]
        panels.append(chart.Panel(row.short, unit_of(row), bars, limits, notes))
    return panels


def main():
    parser = argparse.ArgumentParser(prog="./do bench --report", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", default=LATEST)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where something would change")
    parser.add_argument("--to", default=os.path.join(ROOT, "docs"), metavar="DIRECTORY", help="where performance.md is")
    options = parser.parse_args()
    with open(options.file, encoding="utf-8") as f:
        results = json.load(f)
    beside, instructions = os.path.join(os.path.dirname(os.path.abspath(options.file)), "instructions.json"), {}
    if os.path.exists(beside):
        with open(beside, encoding="utf-8") as f:
            instructions = json.load(f)
    document = os.path.join(options.to, "performance.md")
    with open(document, encoding="utf-8") as f:
        wanted = {document: fill_marks(f.read(), results, instructions)}
    wanted[os.path.join(options.to, "performance.svg")] = chart.draw(
        "CPU time, memory and latency beside nginx, haproxy, h2o and hitch: less is better", chart_panels(results))
    stale = []
    for path, text in wanted.items():
        if not os.path.exists(path) or open(path, encoding="utf-8").read() != text:
            stale.append(os.path.relpath(path, ROOT))
            if not options.check:
                with open(path, "w", encoding="utf-8") as f:
                    f.write(text)
    if options.check and stale:
        print(f"{', '.join(stale)}: not what {os.path.relpath(options.file, ROOT)} says; mend: ./do bench --report")
        return 1
    print(f"written: {', '.join(stale)}" if stale and not options.check else "in step")
    return 0


if __name__ == "__main__":
    sys.exit(main())
