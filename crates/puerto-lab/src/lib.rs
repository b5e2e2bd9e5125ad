//! A simulated Internet on loopback.
