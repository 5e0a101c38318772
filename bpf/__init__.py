"""The eBPF flow collector: kernel C, its loader and the flow event."""
