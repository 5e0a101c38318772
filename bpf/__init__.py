"""Reserved for the eBPF flow collector: kernel C, its loader and the flow event."""
