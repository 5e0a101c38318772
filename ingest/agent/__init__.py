"""The flow agent on one host: it reads the kernel programs and sends flow records to a server."""
