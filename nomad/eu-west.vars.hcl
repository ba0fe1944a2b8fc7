# eu-west, for every Nomad job of this folder. A smaller region: one fleet of all languages, and its own hours.

region    = "eu-west"
namespace = "yurt"
release   = "0.1.0"
registry  = "registry.eu-west.example.org/yurt"

public_url     = "https://eu-west.example.org"
consul_address = "http://127.0.0.1:8500"
nomad_address  = "https://nomad.eu-west.example.org:4646"

peers     = ["nats-1.eu-west.example.org", "nats-2.eu-west.example.org", "nats-3.eu-west.example.org"]
nats_urls = ["nats://nats-1.eu-west.example.org:4222", "nats://nats-2.eu-west.example.org:4222", "nats://nats-3.eu-west.example.org:4222"]

neighbours = [
  { name = "us-east", urls = ["nats://nats-1.us-east.example.org:7222", "nats://nats-2.us-east.example.org:7222"] },
]

region_file = <<-TOML
  region   = "eu-west"
  cluster  = "eu-west"
  replicas = 3
  gateways = ["eu-west-1", "eu-west-2"]

  [[fleets]]
  name = "all"
  languages = ["python", "javascript", "java", "go", "cpp", "rust"]
  minimum = 10
  maximum = 100

  [[neighbours]]
  region = "us-east"
  rtt_ms = 80
  url = "https://us-east.example.org"
TOML

scaling_file = <<-TOML
  time_zone = "Europe/Dublin"
TOML
