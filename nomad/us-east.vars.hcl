# us-east, for every Nomad job of this folder (nomad job run -hcl2-strict=false -var-file=us-east.vars.hcl …).
# What is not set here is the jobs' default. No secret is ever set here: those are Nomad variables.

region    = "us-east"
namespace = "yurt"
release   = "0.1.0"
registry  = "registry.us-east.example.org/yurt"

public_url     = "https://us-east.example.org"
consul_address = "http://127.0.0.1:8500"
nomad_address  = "https://nomad.us-east.example.org:4646"

# The addresses are the brokers' own and outlive their machines.
peers     = ["nats-1.us-east.example.org", "nats-2.us-east.example.org", "nats-3.us-east.example.org"]
nats_urls = ["nats://nats-1.us-east.example.org:4222", "nats://nats-2.us-east.example.org:4222", "nats://nats-3.us-east.example.org:4222"]

neighbours = [
  { name = "eu-west", urls = ["nats://nats-1.eu-west.example.org:7222", "nats://nats-2.eu-west.example.org:7222"] },
]

gateway_count = 3

runner_counts = {
  python     = 20
  javascript = 15
  java       = 10
  go         = 5
  cpp        = 5
  rust       = 3
}

# The same text is what `yurt bootstrap --region-file` is given: streams and consumers come from it.
region_file = <<-TOML
  region   = "us-east"
  cluster  = "us-east"
  replicas = 3
  gateways = ["us-east-1", "us-east-2", "us-east-3"]

  [[fleets]]
  name = "python"
  languages = ["python"]
  minimum = 20
  maximum = 100

  [[fleets]]
  name = "javascript"
  languages = ["javascript"]
  minimum = 15
  maximum = 80

  [[fleets]]
  name = "java"
  languages = ["java"]
  minimum = 10
  maximum = 50

  [[fleets]]
  name = "go"
  languages = ["go"]
  minimum = 5
  maximum = 30

  [[fleets]]
  name = "cpp"
  languages = ["cpp"]
  minimum = 5
  maximum = 30

  [[fleets]]
  name = "rust"
  languages = ["rust"]
  minimum = 3
  maximum = 20

  [[neighbours]]
  region = "eu-west"
  rtt_ms = 80
  url = "https://eu-west.example.org"
TOML

scaling_file = <<-TOML
  time_zone = "America/New_York"
TOML
