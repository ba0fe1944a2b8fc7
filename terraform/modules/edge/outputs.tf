output "target_group_arn" {
  description = "The gateways belong to it."
  value       = aws_lb_target_group.gateway.arn
}

output "record" {
  description = "What a DNS record points to."
  value       = { dns_name = aws_lb.this.dns_name, zone_id = aws_lb.this.zone_id, arn = aws_lb.this.arn }
}
