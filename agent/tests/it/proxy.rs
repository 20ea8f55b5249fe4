//! A small TCP proxy between a client and a broker: the link can be cut, made slow, and mended.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::agent::free_address;

const CHUNK: usize = 16 * 1024;

/// What the link does with bytes.
#[derive(Debug, Default)]
struct Link {
    /// Nothing passes; connections stay open, and new ones are taken and get no answer, as when packets are dropped.
    cut: AtomicBool,
    /// Milliseconds from one end to the other.
    delay: AtomicU64,
    /// Bytes per second of each connection and direction; 0: no limit.
    rate: AtomicU64,
    ended: AtomicBool,
    to: Mutex<Option<SocketAddr>>,
    carried: AtomicU64,
}

pub struct Proxy {
    link: Arc<Link>,
    port: u16,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1. Where it leads to is told with [`Proxy::lead_to`], later: a broker has to know
    /// the port before it starts.
    pub fn start() -> Proxy {
        Proxy::on(TcpListener::bind(free_address()).expect("the port is free"))
    }

    /// Three on consecutive ports, as `scripts/kafka` wants them for three brokers.
    pub fn three() -> [Proxy; 3] {
        loop {
            let first = free_address().port();
            let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
            let listeners: Vec<_> = (first..first + 3).filter_map(bind).collect();
            if let Ok(three) = <[TcpListener; 3]>::try_from(listeners) {
                return three.map(Proxy::on);
            }
        }
    }

    fn on(listener: TcpListener) -> Proxy {
        let port = listener.local_addr().expect("it is bound").port();
        let link = Arc::<Link>::default();
        let own = link.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if own.ended.load(Ordering::Acquire) {
                    return;
                }
                let link = own.clone();
                std::thread::spawn(move || connect(&link, client));
            }
        });
        Proxy { link, port }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn lead_to(&self, address: &str) {
        *self.link.to.lock().expect("no panic inside") = Some(address.parse().expect("an address"));
    }

    pub fn cut(&self) {
        self.link.cut.store(true, Ordering::Release);
    }

    pub fn mend(&self) {
        self.link.cut.store(false, Ordering::Release);
        self.link.delay.store(0, Ordering::Release);
        self.link.rate.store(0, Ordering::Release);
    }

    /// Every byte takes `delay`, and so many pass in a second.
    pub fn slow(&self, delay: Duration, bytes_per_second: u64) {
        self.link.delay.store(delay.as_millis() as u64, Ordering::Release);
        self.link.rate.store(bytes_per_second, Ordering::Release);
    }

    /// Bytes carried so far, in both directions.
    pub fn carried(&self) -> u64 {
        self.link.carried.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.link.ended.store(true, Ordering::Release);
        // Wakes the listener, so that its thread ends.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn connect(link: &Arc<Link>, client: TcpStream) {
    link.wait();
    let to = *link.to.lock().expect("no panic inside");
    let Some(broker) = to.and_then(|to| TcpStream::connect(to).ok()) else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let back = (broker.try_clone().expect("a handle"), client.try_clone().expect("a handle"));
    let other = link.clone();
    std::thread::spawn(move || carry(&other, back.0, back.1));
    carry(link, client, broker);
}

/// Carries one direction: what is read is written `delay` later, so that much may be under way at once.
fn carry(link: &Arc<Link>, mut from: TcpStream, to: TcpStream) {
    let (under_way, arriving) = sync_channel(1_024);
    let own = link.clone();
    let writer = std::thread::spawn(move || deliver(&own, &arriving, to));
    loop {
        let mut chunk = vec![0; CHUNK];
        let Ok(length @ 1..) = from.read(&mut chunk) else { break };
        chunk.truncate(length);
        let due = Instant::now() + Duration::from_millis(link.delay.load(Ordering::Acquire));
        if under_way.send((due, chunk)).is_err() {
            break;
        }
        if let rate @ 1.. = link.rate.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_secs_f64(length as f64 / rate as f64));
        }
    }
    drop(under_way);
    let _ = writer.join();
    let _ = from.shutdown(Shutdown::Both);
}

fn deliver(link: &Link, arriving: &Receiver<(Instant, Vec<u8>)>, mut to: TcpStream) {
    for (due, chunk) in arriving {
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        link.wait();
        if to.write_all(&chunk).is_err() {
            break;
        }
        link.carried.fetch_add(chunk.len() as u64, Ordering::AcqRel);
    }
    let _ = to.shutdown(Shutdown::Both);
}

impl Link {
    /// Waits while the link is cut.
    fn wait(&self) {
        while self.cut.load(Ordering::Acquire) && !self.ended.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
