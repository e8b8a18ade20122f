//! The runtime of readers' connections, and of the task that replaces the recorder's one. It has one thread.

use std::sync::LazyLock;

use tokio::runtime::{Builder, Handle, Runtime};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    let mut builder = Builder::new_multi_thread();
    builder.worker_threads(1).thread_name("postgres").enable_all();
    builder.build().expect("the system can start one more thread")
});

/// The runtime. It is started when it is used first.
pub(super) fn handle() -> &'static Handle {
    RUNTIME.handle()
}
