"""Any program is run against a fake: started, isolated from the network where that is possible, and cleaned up after."""
