# A development agent on one machine (agent.dev.hcl): no Consul, no containers, no TLS, all on loopback.
#
#   nomad agent -dev -config=agent.dev.hcl
#   nomad job run -hcl2-strict=false -var-file=dev.vars.hcl -var-file=mine.vars.hcl nats.nomad.hcl
#
# mine.vars.hcl is yours: what depends on the machine, such as yurt_command, nats_command and nats_data.

region   = "dev"
provider = "nomad"
driver   = "raw_exec"
secured  = false
zone     = "$${node.datacenter}"
settle   = "2s"

nats_pool       = "default"
gateway_pool    = "default"
runner_pool     = "default"
burst_pool      = "default"
autoscaler_pool = "default"

runner_life_cycle = ""
burst_life_cycle  = ""
burst_notice_url  = ""

nats_urls     = ["nats://127.0.0.1:4222"]
nomad_address = "http://127.0.0.1:4646"
gateway_port  = 8080

# One node: no canary of what listens on a static port, and nobody to stand by elsewhere.
gateway_count    = 1
gateway_canaries = 0
autoscaler_count = 1
runner_counts    = { all = 1 }

# For the scheduler: all of it fits on a small machine.
nats_cpu          = 50
nats_memory       = 256
gateway_cpu       = 50
gateway_memory    = 256
runner_cpu        = 50
runner_memory     = 512
runner_slots      = 16
runner_warm       = 2
autoscaler_cpu    = 50
autoscaler_memory = 128

region_file = <<-TOML
  region = "dev"

  [delivery]
  ack_wait_s = 3

  [[fleets]]
  name = "all"
  languages = ["python", "javascript", "java", "go", "cpp", "rust"]
  minimum = 1
  maximum = 8
TOML

scaling_file = <<-TOML
  weekday = []
  weekend = []
TOML
