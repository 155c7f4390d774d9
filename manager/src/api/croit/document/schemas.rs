//! The schemas of the document (spec/hooks.md §3).

use hostler_common::hook::HookPoint;
use serde_json::{Map, Value, json};

/// A schema of an object: its name, then its fields. A field is `name: type`; `!` after the name makes it required, `?`
/// after the type lets it be null, `[]` makes it a list; a type that begins with a capital is another schema.
const OBJECTS: &[(&str, &str)] = &[
    ("Error", "error!:string message!:string code!:int details:object"),
    ("LoginForm", "grant_type!:string username!:string password!:string"),
    (
        "Token",
        "access_token!:string token_type!:string expires_in:string? roles!:string[] userId!:int \
         passwordWasNeverChanged!:bool",
    ),
    ("TokenInfo", "username!:string roles!:string[] expiry:date? oidcId:string? oidcSubject:string?"),
    ("ApiToken", "id!:int name!:string roles!:string[] expiry:date? forHooks:bool createdAt:date createdBy:string"),
    ("ApiTokenRequest", "name!:string roles!:string[] expiry:date? forHooks:bool"),
    ("ApiTokenUpdate", "roles!:string[]"),
    ("ScriptIdentifier", "id!:int name!:string"),
    ("ScriptInfo", "id!:int name!:string hooks:SimpleHookInfo[]? hookNames:string? revision:int"),
    ("ScriptRevision", "revision!:int name!:string sha256!:string size!:int author!:string at!:date"),
    (
        "HookPointInfo",
        "name!:EventHookEvent canChooseServer!:bool description!:string parameters!:HookPointParameter[] blocking:bool",
    ),
    ("HookPointParameter", "name!:string description!:string"),
    ("HookScriptRequest", "name:string contents:string hooks:SimpleHookInfo[]?"),
    ("ScriptRequest", "name:string contents:string"),
    ("GeneratedId", "id!:int"),
    ("Progress", "complete!:int total!:int"),
    (
        "Question",
        "message!:string defaultResponse!:string responseOptions!:string[] priority!:string token!:uuid timeout:int? timeLeft:int?",
    ),
    ("TaskQuestionAnswer", "token!:uuid response!:string"),
    (
        "RunScriptRequest",
        "args!:string[] servers!:int[] scriptId:int? script:string? maxConcurrency:any maxErrors:any timeoutSeconds:int? \
         runAs:string? env:object secrets:object stdin:string? successExitCodes:int[] leaveChildren:bool canary:int",
    ),
    ("HookTestRequest", "values:object servers:int[]"),
    (
        "Target",
        "position!:int id:int? host!:uuid name!:string state!:string exitCode:int? signal:int? startedAt:date? \
         finishedAt:date? outputBytes!:int truncated!:bool error:string?",
    ),
    ("StepRequest", "step!:object skipHooks:bool"),
    ("Flag", "name!:string description!:string recommendedState!:bool currentState!:bool?"),
    ("RecoverySpeed", "speed!:string"),
    ("FullRatios", "nearfullRatio:number? backfillfullRatio:number? fullRatio:number?"),
    ("MaxMds", "filesystem:string maxMds!:int"),
    ("StandbyReplay", "filesystem:string allowStandbyReplay!:bool"),
    ("MinCompatClient", "minCompatClient!:string?"),
    ("SecretInfo", "name!:string createdAt!:date updatedAt!:date updatedBy!:string"),
    ("SecretRequest", "value!:string"),
    ("ServiceState", "deployed!:int running!:int isDeployed!:bool isRunning!:bool"),
    ("Service", "id!:string type!:string name!:string running:bool? style:string? clusterFsid:string?"),
    (
        "AuditInfo",
        "id!:int time!:date category!:string operation!:string username!:string ip:string? method!:string status!:int \
         endpoint!:string queryParams!:string body:string? requestId:string fromHook:bool",
    ),
    (
        "Server",
        "id!:int hostname!:string state!:string stateLabel!:string macs!:string[] macsFormatted!:string ip!:string? \
         ips!:string[] image!:string? imageDescription!:string? machineId!:string? lastSeen!:string? usedPorts!:int[] \
         ramUsageFormatted!:string health!:object services!:object hardware:object? ipmi:object? notes:string? \
         daemonVersion:string?",
    ),
    ("PaginationRequest", "after:int limit:int? where:WhereCondition sortBy:SortCondition[]"),
    ("SortCondition", "column!:string order:string"),
    (
        "FieldCondition",
        "_eq:string _neq:string _gt:string _gte:string _lt:string _lte:string _regex:string _in:string _nin:string _contains:string",
    ),
];

/// Fields that hooks have in common, whoever says them.
const HOOK: &str = "enabled:bool order:int onFailure:string timeoutSeconds:int runAs:string? env:object secrets:object \
                    maxParallel:int? stdin:string external:bool leaveChildren:bool revision:int?";

/// Fields that tasks have in common.
const TASK: &str = "id!:int done!:bool statusCode!:int startedAt!:date startedBy!:string name!:string \
                    state!:ManagedTaskState progress:Progress? result:any object:string? output!:string kind:string \
                    finishedAt:date? steps:object[]";

/// All schemas.
pub(super) fn all() -> Map<String, Value> {
    let mut schemas: Map<String, Value> =
        OBJECTS.iter().map(|(name, fields)| ((*name).into(), object(fields))).collect();
    let hook = |own: &str| object(&format!("{own} {HOOK}"));
    let composed = [
        ("SimpleHookInfo", hook("event!:EventHookEvent allServers:bool serverIds:int[]?")),
        (
            "HookInfo",
            hook(
                "id!:int scriptId!:int scriptName!:string event!:EventHookEvent allServers!:bool serverIds!:int[] serverNames!:string[] warning:string",
            ),
        ),
        ("HookRequest", hook("event!:EventHookEvent serverIds:int[] scriptId!:int allServers:bool")),
        ("HookUpdateRequest", hook("scriptId:int event:EventHookEvent allServers:bool serverIds:int[]")),
        ("ManagedTask", object(TASK)),
        ("TaskResponse", object(&format!("{TASK} cancelled!:bool question:Question?"))),
    ];
    schemas.extend(composed.into_iter().map(|(name, schema)| (name.to_owned(), schema)));
    let events: Vec<&str> = HookPoint::ALL.iter().map(|point| point.name()).collect();
    schemas.insert("EventHookEvent".into(), json!({ "type": "string", "enum": events }));
    let states = ["WAITING", "RUNNING", "FINISHED", "FAILED", "CANCELED"];
    schemas.insert("ManagedTaskState".into(), json!({ "type": "string", "enum": states }));
    schemas.insert("TokenText".into(), json!({ "type": "string" }));
    schemas.insert("Document".into(), json!({ "type": "object" }));
    let condition = json!({ "$ref": "#/components/schemas/WhereCondition" });
    schemas.insert(
        "WhereCondition".into(),
        json!({
            "type": "object",
            "properties": {
                "_and": { "type": "array", "items": condition }, "_or": { "type": "array", "items": condition },
                "_not": condition, "_search": { "type": "string" },
            },
            "additionalProperties": { "$ref": "#/components/schemas/FieldCondition" },
        }),
    );
    schemas
}

fn object(fields: &str) -> Value {
    let (mut required, mut properties) = (Vec::new(), Map::new());
    for field in fields.split_whitespace() {
        let Some((name, kind)) = field.split_once(':') else { continue };
        let plain = name.trim_end_matches('!');
        if plain != name {
            required.push(plain);
        }
        properties.insert(plain.to_owned(), schema(kind));
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

fn schema(kind: &str) -> Value {
    if let Some(kind) = kind.strip_suffix('?') {
        let inner = schema(kind);
        return match inner["type"].as_str() {
            Some(name) => {
                let mut nullable = inner.clone();
                nullable["type"] = json!([name, "null"]);
                nullable
            }
            None => json!({ "oneOf": [inner, { "type": "null" }] }),
        };
    }
    if let Some(kind) = kind.strip_suffix("[]") {
        return json!({ "type": "array", "items": schema(kind) });
    }
    match kind {
        "string" => json!({ "type": "string" }),
        "int" => json!({ "type": "integer", "format": "int32" }),
        "number" => json!({ "type": "number" }),
        "bool" => json!({ "type": "boolean" }),
        "date" => json!({ "type": "string", "format": "date-time" }),
        "uuid" => json!({ "type": "string", "format": "uuid" }),
        "object" => json!({ "type": "object" }),
        "any" => json!({}),
        other => json!({ "$ref": format!("#/components/schemas/{other}") }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_become_schemas() {
        let schemas = all();
        assert_eq!(schemas["EventHookEvent"]["enum"].as_array().unwrap().len(), 20);
        let task = &schemas["TaskResponse"];
        assert_eq!(task["properties"]["progress"]["oneOf"][0]["$ref"], "#/components/schemas/Progress");
        assert_eq!(task["properties"]["object"]["type"], json!(["string", "null"]));
        for name in ["startedAt", "startedBy", "name", "state", "output"] {
            assert!(task["required"].as_array().unwrap().contains(&json!(name)), "{name}");
        }
        assert_eq!(schemas["HookInfo"]["properties"]["serverIds"]["items"]["format"], "int32");
    }
}
