// Package itzo holds both ends' view of the Itzo protocol: the wire types of
// version 1 as the agents of the field speak it, Kip's extensions to it, the
// package format, and the client. The agent's side of it is internal/agent.
//
// Oddities of the wire (capital key names, misspelt tags, null lists) are kept
// exactly, since agents that cannot be changed any more rely on them.
package itzo
