output "edge" {
  description = "For terraform/global: write it to global/regions/REGION.json (terraform/README.md)."
  value = {
    region     = var.region
    aws_region = var.aws_region
    endpoint   = "${var.region}.${var.domain}"
    dns_name   = module.edge.record.dns_name
    zone_id    = module.edge.record.zone_id
    lb_arn     = module.edge.record.arn
  }
}

output "peer" {
  description = "What the other regions put into their peers for this one."
  value = {
    aws_region     = var.aws_region
    vpc_id         = module.network.vpc_id
    cidr           = var.cidr
    connection_ids = module.network.connection_ids
  }
}

output "nats_urls" {
  description = "For the .vars.hcl of this region's Nomad jobs."
  value       = module.broker.nats_urls
}

output "user_data" {
  description = "The first starts of every kind of machine."
  value       = merge({ for name, machine in module.machine : name => machine.user_data }, module.broker.user_data)
}
