# Makes a table of what go test -bench prints: time and allocations per choice.
function us(ns) { return ns == "" ? "" : sprintf("%.1f", ns / 1000) }
/^cpu:/ { print }
/^Benchmark/ {
	name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
	split("", value)
	for (i = 3; i < NF; i += 2) value[$(i + 1)] = $i
	if (!headed++) printf "%-44s %12s %12s %12s %12s\n", "", "mean µs", "p99 µs", "bytes", "allocations"
	printf "%-44s %12s %12s %12s %12s\n", name, us(value["ns/op"]), us(value["p99-ns"]), value["B/op"], value["allocs/op"]
}
/^(FAIL|panic|---)/ { print; failed = 1 }
/^(ok|PASS)/ { passed = 1 }
END { exit failed || !passed }
