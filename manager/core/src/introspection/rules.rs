//! stub
use hostler_common::id::RuleId;
#[allow(missing_docs)]
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Rule {
    pub id: RuleId,
}
