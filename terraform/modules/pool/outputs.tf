output "group_name" {
  description = "Of the auto scaling group."
  value       = aws_autoscaling_group.this.name
}

output "sizes" {
  description = "Least and most machines."
  value       = { min = aws_autoscaling_group.this.min_size, max = aws_autoscaling_group.this.max_size }
}
