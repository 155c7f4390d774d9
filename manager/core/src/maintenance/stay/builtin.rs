//! The plug-ins that are part of the product (spec/maintenance.md §5.4).
