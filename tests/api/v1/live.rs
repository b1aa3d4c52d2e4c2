//! What happens, as it happens: server-sent events and the WebSocket.

use std::collections::VecDeque;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::{hand_in, stick};
use crate::support::{Client, Node, OTHER_PATIENT, PATIENT, islet, run};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// An event stream.
struct Events {
    answer: reqwest::Response,
    text: String,
    ready: VecDeque<Value>,
}

impl Events {
    async fn open(client: &Client, path: &str, last: Option<&str>) -> Self {
        let mut request = client
            .request(Method::GET, path)
            .header("accept", "text/event-stream");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            answer,
            text: String::new(),
            ready: VecDeque::new(),
        }
    }

    /// The next event: `event`, `data`, and `id` when it has one. None once the stream has ended.
    async fn next(&mut self) -> Option<Value> {
        while self.ready.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await;
            let chunk = chunk.unwrap().unwrap()?;
            self.text.push_str(str::from_utf8(&chunk).unwrap());
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = json!({});
                for line in block.lines() {
                    if let Some((name, value)) = line.split_once(": ") {
                        event[name] = json!(value);
                    }
                }
                if let Some(data) = event["data"].as_str() {
                    event["data"] = serde_json::from_str(data).unwrap();
                    self.ready.push_back(event);
                }
                self.text = rest.to_owned();
            }
        }
        self.ready.pop_front()
    }

    /// The next of this name.
    async fn named(&mut self, name: &str) -> Value {
        loop {
            let event = self.next().await.unwrap();
            if event["event"] == name {
                return event;
            }
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn try_connect(url: &str, headers: &[(&'static str, &str)]) -> Result<Socket, WsError> {
    let mut request = url
        .replace("http://", "ws://")
        .into_client_request()
        .unwrap();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    let (socket, answer) = connect_async(request).await?;
    let asked = headers
        .iter()
        .any(|(name, _)| *name == "sec-websocket-protocol");
    let chosen = answer.headers().get("sec-websocket-protocol");
    assert_eq!(
        chosen.map(|it| it.to_str().unwrap()),
        asked.then_some("islet.v1")
    );
    Ok(socket)
}

async fn connect(url: &str, headers: &[(&'static str, &str)]) -> Socket {
    try_connect(url, headers).await.unwrap()
}

async fn refused(url: &str, headers: &[(&'static str, &str)]) -> u16 {
    match try_connect(url, headers).await {
        Err(WsError::Http(answer)) => answer.status().as_u16(),
        other => panic!("{other:?}"),
    }
}

/// The next message of this name.
async fn message(socket: &mut Socket, name: &str) -> Value {
    loop {
        let next = tokio::time::timeout(PATIENCE, socket.next()).await;
        match next.unwrap().unwrap().unwrap() {
            Message::Text(text) => {
                let message: Value = serde_json::from_str(&text).unwrap();
                if message["event"] == name {
                    return message;
                }
            }
            Message::Close(frame) => panic!("closed: {frame:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_event_stream_goes_on_where_it_broke_off() {
    let node = Node::seeded();
    let (ana, eva) = (node.patient().await, node.other_patient().await);
    let mut events = Events::open(&ana, "/v1/events", None).await;
    let mut last = events.named("queue").await["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut stored = Vec::new();
    for minute in 0..3 {
        hand_in(&eva, &stick(minute, 100.0)).await;
        stored.push(hand_in(&ana, &stick(minute, 100.0)).await);
    }
    for reading in &stored {
        let event = events.named("reading").await;
        assert_eq!(
            (&event["data"]["data"], &event["data"]["change"]),
            (reading, &json!("created"))
        );
        if let Some(id) = event["id"].as_str() {
            last = id.to_owned();
        }
    }
    drop(events);
    // What happens meanwhile comes first.
    for minute in 3..6 {
        hand_in(&eva, &stick(minute, 100.0)).await;
        stored.push(hand_in(&ana, &stick(minute, 100.0)).await);
    }
    let mut events = Events::open(&ana, "/v1/events", Some(&last)).await;
    for reading in &stored[3..] {
        assert_eq!(events.named("reading").await["data"]["data"], *reading);
    }
    stored.push(hand_in(&ana, &stick(6, 100.0)).await);
    assert_eq!(events.named("reading").await["data"]["data"], stored[6]);
    // A cursor of `/v1/changes` is one as well, and nonsense is told as such.
    let all = ana.get("/v1/changes").await.expect(200);
    let path = format!("/v1/events?after={}", all["next"].as_str().unwrap());
    let mut events = Events::open(&ana, &path, None).await;
    hand_in(&ana, &stick(7, 77.0)).await;
    assert_eq!(
        events.named("reading").await["data"]["data"]["glucose_mg_dl"],
        77.0
    );
    let mut events = Events::open(&ana, "/v1/events", Some("nonsense")).await;
    let resync = events.named("resync").await;
    let path = format!("/v1/changes?after={}", resync["id"].as_str().unwrap());
    assert_eq!(ana.get(&path).await.expect(200)["items"], json!([]));
}

#[tokio::test]
async fn a_socket_takes_a_token_in_four_ways_and_a_ticket_once() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let token = ana.token.clone().unwrap();
    let url = format!("{}/ws/readings", node.patient_url);
    let ticket = ana.post("/v1/tickets").await.expect(201)["ticket"].clone();
    let ticket = format!("{url}?ticket={}", ticket.as_str().unwrap());
    let bearer = format!("Bearer {token}");
    let protocols = format!("islet.v1, bearer.{token}");
    let mut sockets = [
        connect(&format!("{url}?token={token}"), &[]).await,
        connect(&url, &[("authorization", &bearer)]).await,
        connect(&url, &[("sec-websocket-protocol", &protocols)]).await,
        connect(&ticket, &[]).await,
    ];
    for socket in &mut sockets {
        message(socket, "queue").await;
    }
    let stored = hand_in(&ana, &stick(1, 100.0)).await;
    for socket in &mut sockets {
        let told = message(socket, "reading").await;
        assert_eq!(told["data"]["data"], stored);
        assert!(told["cursor"].is_string(), "{told}");
    }
    assert_eq!(refused(&ticket, &[]).await, 401);
    assert_eq!(refused(&url, &[]).await, 401);
    assert_eq!(refused(&format!("{url}?token=x"), &[]).await, 401);
    let office = format!("{}/ws/readings?token={token}", node.backoffice_url);
    assert_eq!(refused(&office, &[]).await, 401);
    // Not a WebSocket at all.
    super::problem(ana.get("/ws/readings").await, 426, "upgrade_required");
    super::problem(ana.get("/v1/events").await, 406, "not_acceptable");
    // A token in the address of an event stream is not taken.
    let anybody = node.anonymous();
    let request = anybody.request(Method::GET, &format!("/v1/events?token={token}"));
    let answer = anybody
        .send(request.header("accept", "text/event-stream"))
        .await;
    super::problem(answer, 401, "unauthenticated");
}

#[tokio::test]
async fn pages_of_others_may_not_listen() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let url = format!(
        "{}/ws/readings?token={}",
        node.patient_url,
        ana.token.clone().unwrap()
    );
    assert_eq!(refused(&url, &[("origin", "https://evil.test")]).await, 403);
    let own = node.patient_url.clone();
    connect(&url, &[("origin", &own)]).await;
    let stream = ana
        .request(Method::GET, "/v1/events")
        .header("accept", "text/event-stream")
        .header("origin", "https://evil.test");
    super::problem(ana.send(stream).await, 403, "forbidden");
}

#[tokio::test]
async fn staff_follow_the_patients_they_name_and_see_the_queue() {
    let node = Node::seeded();
    let (ana, eva, boss) = (
        node.patient().await,
        node.other_patient().await,
        node.admin().await,
    );
    let id = async |client: &Client| client.get("/v1/profile").await.expect(200)["id"].clone();
    let (ana_id, eva_id) = (id(&ana).await, id(&eva).await);
    let token = boss.token.clone().unwrap();
    let url = format!("{}/ws/readings?token={token}", node.backoffice_url);
    let mut both = connect(&format!("{url}&patient_id={ana_id},{eva_id}"), &[]).await;
    let mut one = connect(&format!("{url}&patient_id={eva_id}"), &[]).await;
    let mut all = connect(&url, &[]).await;
    for socket in [&mut both, &mut one, &mut all] {
        assert_eq!(message(socket, "conflicts").await["data"]["open"], 0);
    }
    hand_in(&ana, &stick(1, 101.0)).await;
    hand_in(&eva, &stick(1, 102.0)).await;
    for socket in [&mut both, &mut all] {
        for patient in [&ana_id, &eva_id] {
            assert_eq!(
                message(socket, "reading").await["data"]["patient_id"],
                *patient
            );
        }
    }
    assert_eq!(
        message(&mut one, "reading").await["data"]["patient_id"],
        eva_id
    );

    let mut mine = Events::open(&eva, "/v1/events", None).await;
    assert_eq!(mine.named("queue").await["data"]["position"], Value::Null);
    boss.patch_json("/v1/queue", &json!({"open": true, "size": 5}))
        .await
        .expect(200);
    ana.put("/v1/queue/place").await.expect(200);
    let place = eva.put("/v1/queue/place").await.expect(200);
    let mut positions = Vec::new();
    while positions.last() != Some(&json!(1)) {
        positions.push(mine.named("queue").await["data"]["position"].clone());
    }
    ana.delete("/v1/queue/place").await.expect(204);
    let moved = mine.named("queue").await;
    assert_eq!(
        (&moved["data"]["position"], &moved["data"]["placement"]),
        (&json!(0), &place["placement"])
    );
    loop {
        if message(&mut all, "queue").await["data"] == json!({"open": true, "waiting": 1}) {
            break;
        }
    }
}

#[tokio::test]
async fn a_log_out_ends_what_listens() {
    let node = Node::seeded();
    let anybody = node.anonymous();
    let log_in = json!({"username": PATIENT.0, "password": PATIENT.1});
    let begun = anybody.post_json("/v1/sessions", &log_in).await.expect(201);
    let token = begun["access_token"].as_str().unwrap();
    let ana = Client::new(&node.patient_url, Some(token.to_owned()));
    let mut events = Events::open(&ana, "/v1/events", None).await;
    let mut socket = connect(
        &format!("{}/ws/readings?token={token}", node.patient_url),
        &[],
    )
    .await;
    events.named("queue").await;
    message(&mut socket, "queue").await;
    let over = json!({"refresh_token": begun["refresh_token"]});
    anybody
        .post_json("/v1/sessions/end", &over)
        .await
        .expect(204);
    // What comes after it is not told.
    let again = node.patient().await;
    hand_in(&again, &stick(1, 100.0)).await;
    let end = events.next().await.unwrap();
    assert_eq!(
        (&end["event"], &end["data"]["code"]),
        (&json!("end"), &json!("unauthenticated"))
    );
    assert_eq!(events.next().await, None);
    let closed = tokio::time::timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    let Message::Close(Some(frame)) = closed else {
        panic!("{closed:?}");
    };
    assert_eq!(
        (u16::from(frame.code), frame.reason.as_str()),
        (4401, "unauthenticated")
    );
}

#[tokio::test]
async fn a_node_that_stops_tells_those_who_listen() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let token = ana.token.clone().unwrap();
    let mut events = Events::open(&ana, "/v1/events", None).await;
    let mut socket = connect(
        &format!("{}/ws/readings?token={token}", node.patient_url),
        &[],
    )
    .await;
    events.named("queue").await;
    message(&mut socket, "queue").await;
    let stopped = tokio::task::spawn_blocking(move || node.stop().0);
    assert_eq!(events.named("end").await["data"]["code"], "closing");
    let closed = tokio::time::timeout(PATIENCE, socket.next())
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    assert!(
        matches!(&closed, Message::Close(Some(frame)) if u16::from(frame.code) == 1012),
        "{closed:?}"
    );
    assert_eq!(stopped.await.unwrap(), Some(0));
}

/// Not even into the most talkative log.
#[tokio::test]
async fn a_token_in_an_address_reaches_no_log() {
    let dir = tempfile::tempdir().unwrap();
    let (data, log) = (dir.path().join("node"), dir.path().join("log"));
    run(islet().arg("seed").arg("--data").arg(&data));
    let mut command = islet();
    command
        .env("ISLET_LOG", "trace")
        .stderr(Stdio::from(std::fs::File::create(&log).unwrap()));
    let node = Node::start(&mut command, &data, &[]);
    let eva = Client::log_in(&node.patient_url, OTHER_PATIENT).await;
    let token = eva.token.clone().unwrap();
    let mut socket = connect(
        &format!("{}/ws/readings?token={token}", node.patient_url),
        &[],
    )
    .await;
    message(&mut socket, "queue").await;
    let wrong = format!("{}/ws/readings?token=wrong-{token}", node.patient_url);
    assert_eq!(refused(&wrong, &[]).await, 401);
    drop(socket);
    node.stop();
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(
        said.contains("TRACE"),
        "the log is not that talkative: {said}"
    );
    let secret = token.rsplit('.').next().unwrap();
    assert!(!said.contains(secret), "the token is in the log");
    let audit = run(islet()
        .args(["audit", "log", "--json", "--data"])
        .arg(&data));
    assert!(!audit.contains(secret), "the token is in the audit log");
}
