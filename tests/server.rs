//! The server of the examples: sessions over HTTP have the bits of streams.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use wgpu_rnn::{Config, Device, Params, Rnn, Tensor};

#[path = "common/seeded.rs"]
mod seeded;
#[path = "../examples/server.rs"]
mod server;

const FRAMES: usize = 5;

/// Starts a server of up to `sessions` sessions. It ends with the process.
fn start(rnn: &Rnn, sessions: usize) -> SocketAddr {
    let router = server::router(rnn, sessions).expect("a small pool");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("as tokio needs it");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            axum::serve(listener, router).await
        })
    });
    address
}

/// Sends a request. Returns the status and the body of the response.
fn request(address: SocketAddr, line: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("the server listens");
    let head = "Host: test\r\nConnection: close\r\nContent-Type: application/json";
    let length = body.len();
    write!(stream, "{line} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}")
        .expect("the request");
    let mut response = String::new();
    stream.read_to_string(&mut response).expect("the response");
    let (head, body) = response.split_once("\r\n\r\n").expect("a head and a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[test]
fn sessions_over_http_are_streams() {
    let params = Params::init(&Config::gru(3, 4), 50).expect("a small module");
    let rnn = Rnn::new(&Device::cpu(), &params).expect("it fits");
    let address = start(&rnn, 8);
    let session = |seed| {
        let (status, session) = request(address, "POST /sessions", "");
        assert_eq!(status, 200, "{session}");
        let input = seeded::tensor(seed, &[FRAMES, 1, 3], 1.0);
        let mut outputs = Vec::new();
        for frame in input.data().chunks(3) {
            let frame = serde_json::to_string(frame).expect("three numbers");
            let line = format!("POST /sessions/{session}");
            let (status, output) = request(address, &line, &frame);
            assert_eq!(status, 200, "{output}");
            outputs.extend(serde_json::from_str::<Vec<f32>>(&output).expect("numbers"));
            let (status, wrong) = request(address, &line, "[0.5]");
            assert_eq!(status, 400, "{wrong}");
        }
        let mut stream = rnn.stream(1).expect("one row");
        let want = stream.forward(&input).expect("it runs");
        let got = Tensor::new([FRAMES, 1, 4], outputs).expect("an output for each frame");
        assert_eq!(got, want, "session {session}");
        assert_eq!(request(address, &format!("DELETE /sessions/{session}"), "").0, 200);
        assert_eq!(request(address, &format!("POST /sessions/{session}"), "[0, 0, 0]").0, 404);
    };
    std::thread::scope(|scope| {
        (0..8).for_each(|seed| {
            scope.spawn(move || session(seed));
        });
    });
    (0..8).for_each(|_| assert_eq!(request(address, "POST /sessions", "").0, 200));
    assert_eq!(request(address, "POST /sessions", "").0, 503, "all slots are open");
}
