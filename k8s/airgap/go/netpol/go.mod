module podium.dev/airgap/netpol

go 1.26.0
