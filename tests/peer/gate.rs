//! A way to a node on which an answer is lost.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// TLS's head of a record, and the content type of what is encrypted (RFC 8446, 5.1).
const HEAD: usize = 5;
const ENCRYPTED: u8 = 23;
/// What a node says before it is asked is shorter, the answer to a join is longer.
const LONG: usize = 1_500;

/// Passes everything on, both ways, but while it is shut no long answer.
pub(crate) struct Gate {
    pub(crate) address: String,
    open: Arc<AtomicBool>,
}

impl Gate {
    /// A gate before `target`, which is shut.
    pub(crate) fn new(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let open = Arc::new(AtomicBool::new(false));
        let (target, opened) = (target.to_owned(), Arc::clone(&open));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&target).unwrap();
                let (from_client, to_server) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || pass(from_client, to_server));
                let opened = Arc::clone(&opened);
                thread::spawn(move || answer(server, client, &opened));
            }
        });
        Self { address, open }
    }

    /// From now on everything goes through.
    pub(crate) fn open(&self) {
        self.open.store(true, Ordering::SeqCst);
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _ = std::io::copy(&mut from, &mut to);
    let _ = to.shutdown(std::net::Shutdown::Write);
}

/// Record by record, up to the first that is held back.
fn answer(mut from: TcpStream, mut to: TcpStream, open: &AtomicBool) {
    let mut head = [0; HEAD];
    while from.read_exact(&mut head).is_ok() {
        let mut body = vec![0; usize::from(u16::from_be_bytes([head[3], head[4]]))];
        if from.read_exact(&mut body).is_err() {
            return;
        }
        let long = head[0] == ENCRYPTED && body.len() > LONG;
        if long && !open.load(Ordering::SeqCst) {
            // Nothing more comes; the client waits until it is killed.
            let _ = from.read_to_end(&mut body);
            return;
        }
        if to.write_all(&[&head[..], &body].concat()).is_err() {
            return;
        }
    }
}
