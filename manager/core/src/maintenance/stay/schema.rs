//! The part of JSON Schema that manifests of plug-ins use (spec/maintenance.md §5.3).
