// The definitions of Node Feature Discovery; only its files are read, nothing is built.
module lazyscope.io/box/nfd

go 1.24

require sigs.k8s.io/node-feature-discovery v0.18.3
