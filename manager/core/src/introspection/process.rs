//! stub
use super::document::Failure;
use super::node::Node;
use super::rules::Rule;
use serde_json::Value;
#[allow(missing_docs)]
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct Settings {}
#[allow(missing_docs)]
pub enum Mode {
    First,
    Reapply,
}
#[allow(missing_docs)]
pub struct Processed {
    pub document: Option<Value>,
    pub node: Node,
    pub outcome: Result<(), Failure>,
    pub warnings: Vec<String>,
}
#[allow(missing_docs)]
pub fn process(raw: &Value, node: &Node, _rules: &[Rule], _s: &Settings, _m: Mode) -> Processed {
    Processed { document: Some(raw.clone()), node: node.clone(), outcome: Ok(()), warnings: vec![] }
}
