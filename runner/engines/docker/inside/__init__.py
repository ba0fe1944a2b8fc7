"""What is process 1 of a container. It lies in every image beside files of the fork engine (``files.FILES``)."""
