//! A way to the nodes on which a request can be late: it arrives when its client has given it up, has asked again on
//! another connection, and has gone on to something else (KIP-890).

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How long a connection is kept after a late request, so that the node surely handles it.
const HANDLING: Duration = Duration::from_secs(1);

/// Requests that can be held back, with their numbers in Kafka's protocol.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Request {
    /// Offsets will be a part of the transaction.
    AddOffsetsToTxn = 25,
    /// Commit, or abort.
    EndTxn = 26,
    /// The offsets.
    TxnOffsetCommit = 28,
}

/// Passes on what clients and nodes say, but for the request that it is told to hold back.
pub struct Detour {
    /// Where it listens: a port for each node.
    pub ports: Vec<u16>,
    orders: Arc<Orders>,
}

#[derive(Default)]
struct Orders {
    /// The next request of that kind is held back, and sent so long after its client has hung up.
    next: Mutex<Option<(Request, Duration)>>,
    late: AtomicUsize,
    over: AtomicBool,
}

impl Detour {
    /// To the nodes that listen on these ports.
    pub fn to(nodes: &[u16]) -> Self {
        let orders = Arc::new(Orders::default());
        let open = |node: &u16| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = listener.local_addr().unwrap().port();
            let (node, orders) = (*node, Arc::clone(&orders));
            thread::spawn(move || accept(&listener, node, &orders));
            port
        };
        Self { ports: nodes.iter().map(open).collect(), orders }
    }

    /// Holds back the next request of that kind. Its client must lose patience, and hang up; so long after, it is sent.
    pub fn hold_next(&self, kind: Request, pause: Duration) {
        *self.orders.next.lock().unwrap() = Some((kind, pause));
    }

    /// Holds nothing back any more.
    pub fn hold_none(&self) {
        *self.orders.next.lock().unwrap() = None;
    }

    /// How many requests were sent to a node after their client had hung up.
    pub fn late(&self) -> usize {
        self.orders.late.load(Ordering::Acquire)
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.orders.over.store(true, Ordering::Release);
        for port in &self.ports {
            // Wakes the thread that listens there.
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, *port)));
        }
    }
}

fn accept(listener: &TcpListener, node: u16, orders: &Arc<Orders>) {
    for client in listener.incoming() {
        if orders.over.load(Ordering::Acquire) {
            return;
        }
        // A node that is down: the client hears it, as it would without the detour.
        let (Ok(client), Ok(node)) = (client, TcpStream::connect((Ipv4Addr::LOCALHOST, node))) else { continue };
        for end in [&client, &node] {
            let _ = end.set_nodelay(true);
        }
        let (Ok(answered), Ok(answering)) = (client.try_clone(), node.try_clone()) else { continue };
        thread::spawn(move || {
            let _ = io::copy(&mut &answering, &mut &answered);
            // Only this end: to the other one, a request may still be on its way.
            let _ = answered.shutdown(Shutdown::Both);
        });
        let orders = Arc::clone(orders);
        thread::spawn(move || {
            let _ = pass_on(&client, &node, &orders);
            for end in [client, node] {
                let _ = end.shutdown(Shutdown::Both);
            }
        });
    }
}

/// Passes on requests until one end hangs up, or a request was late.
fn pass_on(mut client: &TcpStream, mut node: &TcpStream, orders: &Orders) -> io::Result<()> {
    loop {
        let frame = read(client)?;
        if let Some(pause) = orders.pause_before(&frame) {
            // What is behind it on this connection has no answer to hope for either.
            io::copy(&mut client, &mut io::sink()).ok();
            thread::sleep(pause);
            node.write_all(&frame)?;
            orders.late.fetch_add(1, Ordering::AcqRel);
            thread::sleep(HANDLING);
            return Ok(());
        }
        node.write_all(&frame)?;
    }
}

/// A request: its size, the number of its kind, and the rest.
fn read(mut client: &TcpStream) -> io::Result<Vec<u8>> {
    let mut size = [0; 4];
    client.read_exact(&mut size)?;
    let mut frame = size.to_vec();
    frame.resize(4 + u32::from_be_bytes(size) as usize, 0);
    client.read_exact(&mut frame[4..])?;
    Ok(frame)
}

impl Orders {
    /// How long after its client's farewell this request shall be sent, if it is the one to be held back.
    fn pause_before(&self, frame: &[u8]) -> Option<Duration> {
        let mut next = self.next.lock().unwrap();
        let (kind, pause) = (*next)?;
        if frame.get(4..6)? != (kind as u16).to_be_bytes() {
            return None;
        }
        *next = None;
        Some(pause)
    }
}
