# A development agent that can run the jobs of this folder with dev.vars.hcl: nomad agent -dev -config=agent.dev.hcl

bind_addr = "127.0.0.1"

client {
  # Runners let programs end: kill_timeout is 90 s, which a client caps at 30 s unless it is told otherwise.
  max_kill_timeout = "120s"

  # Fingerprinters of clouds ask metadata servers that are not there; one of them refuses to start beside AWS_CA_BUNDLE.
  options = {
    "fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"
  }
}

# No isolation of its own: for a development machine, and for nodes that hold nothing but runners.
plugin "raw_exec" {
  config {
    enabled = true
  }
}
