output "kms_key_arn" {
  description = "Encrypts what lies on disks, in logs and in parameters."
  value       = aws_kms_key.this.arn
}

output "edge_group_id" {
  description = "Of the load balancer."
  value       = aws_security_group.edge.id
}

output "group_ids" {
  description = "By role: the role's own group and that of every machine."
  value       = { for role, group in aws_security_group.role : role => [group.id, aws_security_group.machine.id] }
}
