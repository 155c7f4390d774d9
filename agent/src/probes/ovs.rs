//! Open vSwitch: its bridges and their ports, by one read-only question to its database.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::host::HostRoot;

const SOCKET: &str = "/run/openvswitch/db.sock";
const DEADLINE: Duration = Duration::from_millis(1500);
const ANSWER_MAX: usize = 4 << 20;

/// All bridges with their ports, tags and interface types.
///
/// # Errors
/// "Not found" without Open vSwitch; "timed out"; "invalid data".
pub(super) fn bridges(host: &HostRoot) -> io::Result<Vec<Value>> {
    let mut stream = UnixStream::connect(host.path(SOCKET))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    let select =
        |table: &str, columns: &[&str]| json!({"op": "select", "table": table, "where": [], "columns": columns});
    let question = json!({"id": 1, "method": "transact", "params": ["Open_vSwitch",
        select("Bridge", &["name", "ports", "datapath_type"]),
        select("Port", &["_uuid", "name", "tag", "bond_mode", "interfaces"]),
        select("Interface", &["_uuid", "name", "type"])]});
    stream.write_all(question.to_string().as_bytes())?;
    decode(&answer(&mut stream)?).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The answer to our question: the server may first ask whether we live ("echo"), which needs no reply in this short time.
fn answer(stream: &mut UnixStream) -> io::Result<Value> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 64 << 10];
    while bytes.len() < ANSWER_MAX {
        let len = stream.read(&mut chunk)?;
        if len == 0 {
            break;
        }
        bytes.extend(&chunk[..len]);
        for value in serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>().map_while(Result::ok) {
            if value["id"] == 1 && value.get("result").is_some() {
                return Ok(value);
            }
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn decode(answer: &Value) -> Option<Vec<Value>> {
    let rows = |at: usize| answer["result"][at]["rows"].as_array();
    let by_id = |rows: &'_ [Value]| -> BTreeMap<String, Value> {
        rows.iter().filter_map(|row| Some((row["_uuid"][1].as_str()?.to_owned(), row.clone()))).collect()
    };
    let (ports, interfaces) = (by_id(rows(1)?), by_id(rows(2)?));
    let bridge = |row: &Value| {
        let mut list: Vec<Value> = ids(&row["ports"])
            .iter()
            .filter_map(|id| ports.get(id))
            .map(|port| {
                let below: Vec<Value> = ids(&port["interfaces"])
                    .iter()
                    .filter_map(|id| interfaces.get(id))
                    .map(|interface| json!({"name": interface["name"], "type": interface["type"]}))
                    .collect();
                // An empty set is how the database writes "none".
                json!({"name": port["name"], "tag": port["tag"].as_u64(), "bond_mode": port["bond_mode"].as_str(),
                       "interfaces": below})
            })
            .collect();
        list.sort_by_key(Value::to_string);
        json!({"name": row["name"], "datapath": row["datapath_type"], "ports": list})
    };
    let mut found: Vec<Value> = rows(0)?.iter().map(bridge).collect();
    found.sort_by_key(Value::to_string);
    Some(found)
}

/// The identifiers of a column: one `["uuid", id]`, or a `["set", [...]]` of them.
fn ids(column: &Value) -> Vec<String> {
    let one = |value: &Value| (value[0] == "uuid").then(|| value[1].as_str().map(str::to_owned)).flatten();
    match column[0].as_str() {
        Some("set") => column[1].as_array().into_iter().flatten().filter_map(one).collect(),
        _ => one(column).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_conversation_with_the_database() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("run/openvswitch")).unwrap();
        let server = UnixListener::bind(dir.path().join(&SOCKET[1..])).unwrap();
        let thread = std::thread::spawn(move || {
            let (mut peer, _) = server.accept().unwrap();
            let mut buffer = [0; 4096];
            let len = peer.read(&mut buffer).unwrap();
            let question: Value = serde_json::from_slice(&buffer[..len]).unwrap();
            let reads = question["params"].as_array().unwrap()[1..].iter().all(|operation| operation["op"] == "select");
            assert!(reads, "only reading operations");
            peer.write_all(b"{\"id\":\"echo\",\"method\":\"echo\",\"params\":[]}").unwrap();
            let answer = json!({"id": 1, "error": null, "result": [
                {"rows": [{"name": "br-int", "datapath_type": "system", "ports": ["set", [["uuid", "p1"], ["uuid", "p2"]]]}]},
                {"rows": [{"_uuid": ["uuid", "p1"], "name": "bond1", "tag": ["set", []], "bond_mode": "balance-tcp",
                           "interfaces": ["set", [["uuid", "i1"], ["uuid", "i2"]]]},
                          {"_uuid": ["uuid", "p2"], "name": "tap1", "tag": 7, "bond_mode": ["set", []],
                           "interfaces": ["uuid", "i3"]}]},
                {"rows": [{"_uuid": ["uuid", "i1"], "name": "ens1", "type": ""}, {"_uuid": ["uuid", "i2"], "name": "ens2", "type": ""},
                          {"_uuid": ["uuid", "i3"], "name": "tap1", "type": "internal"}]}]});
            peer.write_all(answer.to_string().as_bytes()).unwrap();
        });
        let found = bridges(&HostRoot::recorded(dir.path()).unwrap()).unwrap();
        thread.join().unwrap();
        assert_eq!(found[0]["name"], "br-int");
        let bond = found[0]["ports"].as_array().unwrap().iter().find(|port| port["name"] == "bond1").unwrap();
        assert_eq!((bond["interfaces"].as_array().unwrap().len(), &bond["tag"]), (2, &Value::Null));
    }
}
