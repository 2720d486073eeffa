package testservers

// longRun is set by LongRun.
var longRun bool

// LongRun has the servers that are started from now on suit measurements of minutes. Brokers compile their code and
// collect their garbage as they do in production, which takes a minute of load until it pays. What no purchase waits for,
// as that compiler, Nacos and Zipkin, yields to what one does: in production it would have cores of its own.
func LongRun() { longRun = true }

// brokerVM is how a broker's virtual machine compiles its code and keeps its memory.
func brokerVM() []string {
	if longRun {
		return []string{
			// The priority is a nice value. Other threads keep theirs, or get a better one where the user may give it.
			"-XX:TieredStopAtLevel=4", "-XX:ThreadPriorityPolicy=1", "-XX:CompilerThreadPriority=15",
			// What Kafka's own start scripts set (kafka-server-start.sh, kafka-run-class.sh).
			"-Xms1g", "-Xmx1g", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
			"-XX:+ExplicitGCInvokesConcurrent",
		}
	}
	// The quick compiler and collector: on few cores the broker must not take the tests' time.
	return []string{"-XX:TieredStopAtLevel=1", "-Xmx512m", "-XX:+UseSerialGC"}
}

// offPath is the command of a server that no purchase waits for.
func offPath(name string, args ...string) (string, []string) {
	if longRun {
		return "nice", append([]string{"-n", "10", name}, args...)
	}
	return name, args
}
