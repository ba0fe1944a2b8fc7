"""What is answered, a module a subject. Each handler takes the desk and the request, and raises errors of our tree."""
