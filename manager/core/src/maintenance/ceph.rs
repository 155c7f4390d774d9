//! Judging of Ceph clusters (spec/maintenance.md §8): pure functions of what agents read.
