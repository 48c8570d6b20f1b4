//! Nodes of one kind, addressed by 32-bit numbers that are always `0..len`.
//!
//! They lie in chunks, so that growth never moves what is there; only the first chunk grows, from one node on, for the
//! sake of small trees. A freed node's place is taken by the last one: who frees must redirect what points to it. So the
//! memory follows the number of nodes both ways, and there is no list of free places.

const CHUNK_BITS: u32 = 6;
const CHUNK: usize = 1 << CHUNK_BITS;

#[derive(Clone, Debug)]
pub(super) struct Arena<T> {
    chunks: Vec<Vec<T>>,
}

#[inline]
fn split(id: u32) -> (usize, usize) {
    ((id >> CHUNK_BITS) as usize, id as usize % CHUNK)
}

impl<T> Arena<T> {
    pub const fn new() -> Arena<T> {
        Arena { chunks: Vec::new() }
    }

    pub fn len(&self) -> usize {
        match self.chunks.last() {
            Some(last) => (self.chunks.len() - 1) * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Memory held, in O(1): every chunk but the first has its full size.
    pub fn bytes(&self) -> usize {
        let Some(first) = self.chunks.first() else { return 0 };
        (first.capacity() + (self.chunks.len() - 1) * CHUNK) * size_of::<T>()
            + self.chunks.capacity() * size_of::<Vec<T>>()
    }

    #[inline]
    pub fn get(&self, id: u32) -> &T {
        let (chunk, at) = split(id);
        &self.chunks[chunk][at]
    }

    #[inline]
    pub fn get_mut(&mut self, id: u32) -> &mut T {
        let (chunk, at) = split(id);
        &mut self.chunks[chunk][at]
    }

    /// Two nodes at once.
    ///
    /// Panics: when they are the same.
    pub fn pair_mut(&mut self, a: u32, b: u32) -> (&mut T, &mut T) {
        const DIFFERENT: &str = "two different nodes that exist";
        let ((a_chunk, a), (b_chunk, b)) = (split(a), split(b));
        if a_chunk == b_chunk {
            let [a, b] = self.chunks[a_chunk].get_disjoint_mut([a, b]).expect(DIFFERENT);
            (a, b)
        } else {
            let [x, y] = self.chunks.get_disjoint_mut([a_chunk, b_chunk]).expect(DIFFERENT);
            (&mut x[a], &mut y[b])
        }
    }

    pub fn push(&mut self, node: T) -> u32 {
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK) {
            let capacity = if self.chunks.is_empty() { 1 } else { CHUNK };
            self.chunks.push(Vec::with_capacity(capacity));
        }
        let id = self.len() as u32;
        if let Some(last) = self.chunks.last_mut() {
            if last.len() == last.capacity() {
                last.reserve_exact(last.len().min(CHUNK - last.len()));
            }
            last.push(node);
        }
        id
    }

    /// Frees a node; the last one takes its place and number. Tells the number the last one had.
    pub fn swap_remove(&mut self, id: u32) -> u32 {
        let (chunk, at) = split(id);
        let last = self.chunks.last_mut().expect("there is a node to free");
        let node = last.pop().expect("no chunk is empty");
        if last.is_empty() {
            self.chunks.pop();
        }
        let moved = self.len() as u32;
        if id != moved {
            self.chunks[chunk][at] = node;
        }
        if let [only] = &mut self.chunks[..]
            && only.len() <= only.capacity() / 4
        {
            only.shrink_to(only.len() * 2);
        }
        moved
    }
}
