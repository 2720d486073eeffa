package preflight

// The checks, in the order in which they run and are shown. CheckAgents is always made.
const (
	CheckAgents  = "agents"
	CheckNode    = "node"
	CheckStorage = "storage"
	CheckWrite   = "write"
	CheckReach   = "reach"
	CheckDNS     = "dns"
	CheckIngress = "ingress"
	CheckMySQL   = "mysql"
	CheckRedis   = "redis"
	CheckKafka   = "kafka"
	CheckNacos   = "nacos"
	CheckZipkin  = "zipkin"
)

// Checks are all of them, in order.
var Checks = []string{
	CheckAgents, CheckNode, CheckStorage, CheckWrite, CheckReach, CheckDNS, CheckIngress,
	CheckMySQL, CheckRedis, CheckKafka, CheckNacos, CheckZipkin,
}

// Explanation is what a finding's id stands for.
type Explanation struct {
	Check    string
	Severity Severity
	// Meaning is what was seen, in a sentence.
	Meaning string
	// Remedy is what usually mends it. docs/preflight.md has more.
	Remedy string
}

// Catalog explains every finding. Ids are stable: scripts may look for them.
var Catalog = map[string]Explanation{
	"agents-missing": {CheckAgents, Unfit, "fewer agents than expected, or none, are there", "kubectl -n seckill-preflight get pods -o wide: see which nodes have none, and why"},
	"agent-silent":   {CheckAgents, Unknown, "an agent does not answer", "look at its pod's log and at its node; then run again"},
	"agent-refused":  {CheckAgents, Unknown, "an agent did not take the request", "give runner and agents the same SECKILL_PREFLIGHT_KEY"},
	"agent-clock":    {CheckAgents, Unfit, "an agent's clock is far from the runner's", "run chrony or systemd-timesyncd on the node"},
	"check-late":     {CheckAgents, Unknown, "a check did not end within its limit", "raise Limit in the plan, or look at what the check waits for"},
	"check-failed":   {CheckAgents, Unknown, "a check could not be made", "the detail says why"},

	"node-kernel":  {CheckNode, Unfit, "the kernel is older than what the platform is tried on", "update the node's operating system"},
	"node-cgroup":  {CheckNode, Unfit, "the node has an older version of cgroups", "boot with systemd.unified_cgroup_hierarchy=1"},
	"node-clock":   {CheckNode, Unfit, "the node's clock is not synchronised", "run chrony or systemd-timesyncd on the node"},
	"node-files":   {CheckNode, Unfit, "too few files may be open at once", "raise LimitNOFILE of the container runtime's unit"},
	"node-port":    {CheckNode, Unfit, "a port that has to be free is in use", "stop what listens there, or choose another port"},
	"node-unknown": {CheckNode, Unknown, "a property of the node could not be read", "the detail says which"},

	"storage-space":   {CheckStorage, Unfit, "a file system has too little room", "free room, or give it a larger volume"},
	"storage-inodes":  {CheckStorage, Unfit, "a file system has hardly an inode left", "remove small files, or make the file system anew with more inodes"},
	"storage-hung":    {CheckStorage, Unfit, "a file system does not answer", "look at the server of the mount; umount -l frees a dead one"},
	"storage-path":    {CheckStorage, Unfit, "a path of the plan is not there or is read-only", "make the folder on the node, or mount its volume for writing"},
	"storage-hidden":  {CheckStorage, Warning, "the agent's user may not look at a file system", "it is most often another pod's volume; to see it too let the agent run as root with DAC_READ_SEARCH"},
	"storage-unknown": {CheckStorage, Unknown, "a file system could not be asked", "give the agent's host folder HostToContainer propagation, and see the detail"},

	"write-failed": {CheckWrite, Unfit, "the platform's user cannot work on a volume", "the step and its error say what is missing"},
	"write-hung":   {CheckWrite, Unfit, "a volume does not answer", "look at the server of the volume"},
	"write-uid":    {CheckWrite, Unknown, "the agent runs as another user than the platform", "set the agent's runAsUser to the platform's"},

	"reach-cut":      {CheckReach, Unfit, "one node does not reach another at all", "look at the network plugin and at routes between the two nodes"},
	"reach-port":     {CheckReach, Unfit, "one port of a node cannot be reached, others can", "look at NetworkPolicies and at the node's firewall for that port"},
	"reach-service":  {CheckReach, Unfit, "a Service does not lead to the agents", "look at kube-proxy, at the Service's endpoints and its selector"},
	"reach-loss":     {CheckReach, Unfit, "some connections between two nodes are lost", "look for a faulty link, a full conntrack table or a wrong MTU"},
	"reach-latency":  {CheckReach, Warning, "the way between two nodes is slow", "put the nodes that talk to each other closer together"},
	"reach-stranger": {CheckReach, Unfit, "something other than the agent answered", "look for a proxy or for an address that two pods have"},
	"reach-unknown":  {CheckReach, Unknown, "an agent could not listen on a port of the check", "choose a port that is free on every node"},

	"dns-config":          {CheckDNS, Unknown, "there is no DNS server to ask", "look at /etc/resolv.conf in the agent's pod"},
	"dns-name":            {CheckDNS, Unfit, "a name cannot be resolved", "look at CoreDNS and at the name"},
	"dns-upstream":        {CheckDNS, Unfit, "a DNS server does not answer", "take the server out of CoreDNS' forward line, or let pods reach it: pods have other source addresses than nodes"},
	"dns-upstream-answer": {CheckDNS, Unfit, "a DNS server has another answer than it should", "take the server out of CoreDNS' forward line, or mend its zone"},

	"ingress-name":    {CheckIngress, Unfit, "the ingress name has no address", "add the name to DNS"},
	"ingress-address": {CheckIngress, Unfit, "an address of the ingress name cannot be reached", "take the address out of DNS, or bring up what should listen there"},
	"ingress-answer":  {CheckIngress, Unfit, "an address of the ingress name does not lead to the agents, always or at times", "take the address out of DNS if another ingress has it; otherwise look at the Ingress of that host there"},

	"mysql-dsn":        {CheckMySQL, Unknown, "the DSN cannot be used", "write it as user:password@tcp(host:port)/database"},
	"mysql-address":    {CheckMySQL, Unfit, "MySQL cannot be reached", "look at host, port and firewall"},
	"mysql-bind":       {CheckMySQL, Unfit, "nothing listens at MySQL's address", "set bind-address = 0.0.0.0 under [mysqld], remove skip-networking, and restart MySQL"},
	"mysql-host":       {CheckMySQL, Unfit, "MySQL refuses this node's address", "let the user come from the pods' addresses"},
	"mysql-password":   {CheckMySQL, Unfit, "MySQL refuses user and password", "set the password anew, or create the user for this host"},
	"mysql-database":   {CheckMySQL, Unfit, "the database does not exist or is not the user's", "create the database and grant it"},
	"mysql-refused":    {CheckMySQL, Unfit, "MySQL refuses for another reason", "the detail has MySQL's own words"},
	"mysql-version":    {CheckMySQL, Unfit, "MySQL is too old", "MySQL 8.0 or MariaDB 10.6, or newer"},
	"mysql-charset":    {CheckMySQL, Unfit, "the database's character set is not utf8mb4", "change it before the tables are made"},
	"mysql-sql-mode":   {CheckMySQL, Unfit, "MySQL does not refuse values that do not fit", "SET GLOBAL sql_mode = CONCAT(@@GLOBAL.sql_mode, ',STRICT_TRANS_TABLES'); and the same in my.cnf"},
	"mysql-isolation":  {CheckMySQL, Unfit, "the isolation level shows what is not committed", "transaction-isolation = REPEATABLE-READ under [mysqld]"},
	"mysql-time-zone":  {CheckMySQL, Warning, "the session's time zone is not UTC", "default-time-zone = '+00:00' under [mysqld]; the platform's own columns are milliseconds and do not depend on it"},
	"mysql-grants":     {CheckMySQL, Unfit, "the user lacks rights that the platform needs", "grant them"},
	"mysql-clock":      {CheckMySQL, Unfit, "MySQL's clock is far from the node's", "synchronise both clocks"},
	"mysql-read-only":  {CheckMySQL, Unfit, "the server takes no writes", "point the DSN at the primary"},
	"mysql-migrations": {CheckMySQL, Unfit, "a migration would fail", "give the platform a database of its own; the detail says what is in the way"},
	"mysql-statement":  {CheckMySQL, Unfit, "the plan's statement failed", "the detail has MySQL's own words"},
	"redis-address":    {CheckRedis, Unfit, "Redis cannot be reached", "look at bind, protected-mode, host and port"},
	"redis-login":      {CheckRedis, Unfit, "Redis refuses user or password", "set SECKILL_REDIS_PASSWORD, or mend the user's ACL"},
	"redis-version":    {CheckRedis, Unfit, "Redis is too old", "Redis 6.2 or newer; 7.0 is what is tried"},
	"redis-aof":        {CheckRedis, Warning, "Redis keeps nothing across a restart", "appendonly yes: nothing is lost without it, but every sale is rebuilt from Kafka and MySQL"},
	"redis-eviction":   {CheckRedis, Unfit, "Redis may throw keys away when its memory is full", "maxmemory-policy noeviction"},
	"redis-replicas":   {CheckRedis, Warning, "Redis takes writes that no replica has", "min-replicas-to-write 1 and min-replicas-max-lag below Accept.Quiet"},
	"redis-role":       {CheckRedis, Unfit, "this Redis is a replica", "use the primary's address"},
	"redis-unknown":    {CheckRedis, Unknown, "a setting of Redis could not be read", "let the user run INFO and CONFIG GET for the check"},
	"kafka-address":    {CheckKafka, Unfit, "a broker cannot be reached", "look at listeners, host and port"},
	"kafka-login":      {CheckKafka, Unfit, "Kafka refuses the login", "set SECKILL_KAFKA_USERNAME and SECKILL_KAFKA_PASSWORD, and the mechanism that the listener has"},
	"kafka-advertise":  {CheckKafka, Unfit, "brokers send clients to addresses that the plan does not name", "set advertised.listeners to addresses that pods reach, and name all of them in Kafka.Brokers"},
	"kafka-brokers":    {CheckKafka, Unfit, "there are fewer brokers than replicas", "start the missing brokers, or lower Replication knowing what that costs"},
	"kafka-topic":      {CheckKafka, Unfit, "the orders topic is not as the promises need it", "kafka-configs.sh or kafka-reassign-partitions.sh: the detail has the figures"},
	"kafka-create":     {CheckKafka, Unfit, "the topic is missing and may not be created", "create it, or allow CREATE to the user"},
	"nacos-address":    {CheckNacos, Unfit, "Nacos cannot be reached", "look at host and port"},
	"nacos-grpc":       {CheckNacos, Unfit, "Nacos' gRPC port cannot be reached", "open the port that is 1000 above the HTTP port too"},
	"nacos-login":      {CheckNacos, Unfit, "Nacos takes no session", "look at user, password and namespace"},
	"zipkin-address":   {CheckZipkin, Unfit, "Zipkin cannot be reached", "look at host and port"},
	"zipkin-answer":    {CheckZipkin, Unfit, "what answers is not a Zipkin in health", "look at Zipkin's log and at its store"},
}
